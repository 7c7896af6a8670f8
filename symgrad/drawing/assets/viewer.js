"use strict";
/* The page: pan, zoom, search, fold, and the facts of a node. */
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const graph = JSON.parse($("graph").textContent);
  const [READABLE, OPENED] = [48, 160]; // boxes at first, and after "Unfold"
  const svg = $("canvas");
  const world = $("world");
  const state = { mode: graph.view, focus: null, chosen: null, hits: new Set(), found: [], at: -1 };
  let shown = null;

  const pen = document.createElement("canvas").getContext("2d");
  function widthOf(text, size, bold = false) {
    pen.font = `${bold ? 600 : 400} ${size}px system-ui, "Segoe UI", "DejaVu Sans", sans-serif`;
    return pen.measureText(text || "").width;
  }
  svg.classList.add("live");
  const scene = new Scene(graph, widthOf);
  const glass = new Glass(svg, world, () => [shown.width, shown.height], first);

  /* The middle of the uppermost box, of an input if there is one in its row. */
  function first() {
    const place = (box) => box.y - (box.kind === "input" ? 0.5 : 0);
    const [top] = [...shown.boxes.values()].sort((a, b) => place(a) - place(b));
    return top ? [top.x, top.y] : [0, 0];
  }


  function make(name, parent, attributes = {}, text = null) {
    const e = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    if (text !== null) e.textContent = text;
    parent.append(e);
    return e;
  }

  function html(name, parent, text = null, attributes = {}) {
    const e = document.createElement(name);
    if (text !== null) e.textContent = text;
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    parent.append(e);
    return e;
  }

  const say = (text) => { $("status").textContent = text; };
  let leaving = 0;
  /* Say something to everybody: it goes by itself. */
  function tell(text) {
    say(text);
    $("note").textContent = text;
    $("note").hidden = false;
    clearTimeout(leaving);
    leaving = setTimeout(() => { $("note").hidden = true; }, 6000);
  }
  /* Say how much is hidden where not all could be opened. */
  function told(whole) {
    if (!whole) tell(`${scene.size} boxes are shown for ${graph.nodes.length} nodes: click a box to open it, or search.`);
  }

  // -- drawing ------------------------------------------------------------------

  function render() {
    shown = scene.layout(state.mode);
    world.replaceChildren();
    shown.frames.sort((a, b) => scene.outerOf(a.scope).length - scene.outerOf(b.scope).length);
    shown.frames.forEach(drawFrame);
    const texts = make("g", world);
    for (const line of shown.lines) drawLine(line, texts);
    world.append(texts);
    for (const box of shown.boxes.values()) drawBox(box);
    if (!shown.boxes.has(state.focus)) state.focus = shown.boxes.keys().next().value;
    mark();
    legend();
  }

  function drawFrame(f) {
    const g = make("g", world, { class: "cluster" });
    make("rect", g, { x: f.x - f.width / 2, y: f.y - f.height / 2, width: f.width, height: f.height, rx: 8 });
    const handle = make("g", g, { class: "handle", "aria-hidden": "true" });
    const name = `⊟ ${graph.scopes[f.scope].name}`;
    const x = f.x - f.width / 2 + 8;
    const y = f.y - f.height / 2 + 14;
    make("rect", handle, { x: x - 6, y: y - 13, width: widthOf(name, 11) + 14, height: 18 });
    make("text", handle, { x, y }, name);
    make("title", handle, {}, "Fold");
    handle.addEventListener("click", () => toggle(f.scope));
  }

  function place(norm) {
    const { low, high } = graph.scale;
    if (!(norm > 0) || !Number.isFinite(norm)) return null;
    const span = Math.max(Math.log10(high / low), 1);
    return Math.min(Math.max((Math.log10(norm) - Math.log10(high) + span) / span, 0), 1);
  }

  function colour(at) {
    const dark = document.documentElement.dataset.theme === "dark";
    const ramp = dark ? graph.scale.dark : graph.scale.light;
    return ramp[Math.round(at * (ramp.length - 1))];
  }

  function drawLine(line, texts) {
    const g = make("g", world, { "data-from": line.from, "data-to": line.to });
    const flow = state.mode === "flow";
    const both = state.mode === "gradient" && line.live;
    const forward = make("path", g, { class: "edge", d: curve(line.points, both ? -STEP / 2 : 0) });
    let kind = "edge-text";
    if (flow && line.norm !== null) {
      const at = place(line.norm);
      forward.setAttribute("marker-start", "url(#tail-flow)");
      forward.style.stroke = at === null ? "var(--edge)" : colour(at);
      forward.style.strokeWidth = at === null ? 1.2 : 1 + 7 * at;
      if (at === null) forward.style.strokeDasharray = "2 4";
      else forward.style.opacity = 0.35 + 0.65 * at;
    } else {
      forward.setAttribute("marker-end", "url(#head)");
      if (flow) forward.style.strokeDasharray = "4 4";
    }
    if (both) {
      make("path", g, { class: "edge back", d: curve(line.points, STEP / 2), "marker-start": "url(#tail)" });
      if (line.edges.length === 1 && line.edges[0].local) kind += " back";
    }
    if (line.text) make("text", texts, { class: kind, x: line.left, y: line.y + 3 }, line.text);
  }

  function drawBox(box) {
    const label = [box.title, box.detail, box.scope === undefined ? "" : "folded"].filter(Boolean).join(", ");
    const g = make("g", world, {
      class: `node ${box.kind}${box.leaf ? " leaf" : ""}`, "data-key": box.key, tabindex: -1,
      role: "button", "aria-label": label, transform: `translate(${box.x - box.width / 2},${box.y - box.height / 2})`,
    });
    if (box.scope !== undefined) g.setAttribute("aria-expanded", "false");
    const size = { width: box.width, height: box.height, rx: 7 };
    if (box.copies > 1) make("rect", g, { ...size, x: 5, y: -5 });
    make("rect", g, size);
    make("rect", g, { class: "ring", x: -4, y: -4, width: box.width + 8, height: box.height + 8, rx: 9 });
    if (box.carries) { // a loop goes back to itself
      const [x, y] = [box.width, box.height / 2];
      make("path", g, { class: "edge", d: `M${x},${y - 8}c30,-4 30,20 2,16`, "marker-end": "url(#head)" });
      make("text", g, { class: "edge-text", x: x + 28, y: y + 3 }, box.carries);
    }
    const middle = { x: box.width / 2, "text-anchor": "middle" };
    const two = box.title && box.detail;
    const mark = box.scope === undefined ? "" : "⊞ ";
    if (box.title) make("text", g, { ...middle, y: two ? box.height / 2 - 3 : box.height / 2 + 4, class: "title" }, mark + box.title);
    if (box.detail) make("text", g, { ...middle, y: two ? box.height / 2 + 12 : box.height / 2 + 4, class: "detail" }, box.detail);
    g.addEventListener("click", () => { focus(box.key); act(box.key); });
  }

  /* Show what is chosen, found and in focus. */
  function mark() {
    const chosen = state.chosen === null ? null : scene.keyOf(graph.nodes[state.chosen]);
    const hits = new Set([...state.hits].map((n) => scene.keyOf(graph.nodes[n])));
    for (const g of world.querySelectorAll(".node")) {
      const key = g.dataset.key;
      g.classList.toggle("chosen", key.split("@")[0] === chosen);
      g.classList.toggle("hit", hits.has(key.split("@")[0]));
      g.setAttribute("tabindex", key === state.focus ? 0 : -1);
    }
    for (const g of world.querySelectorAll("g[data-from]")) {
      const near = g.dataset.from === chosen || g.dataset.to === chosen;
      if (state.mode !== "flow") g.querySelectorAll("path").forEach((p) => p.classList.toggle("near", near));
    }
  }

  function legend() {
    const box = $("legend");
    box.replaceChildren();
    box.hidden = state.mode === "forward" && !scene.marked;
    if (state.mode === "gradient") html("div", box, "orange: the gradient’s way back, with the local derivative");
    if (scene.marked) html("div", box, `shared: one tensor, shown beside each of its readers${state.mode === "forward" ? "" : "; its gradient is the sum"}`);
    if (state.mode !== "flow") return;
    html("div", box, "‖gradient‖ on each edge");
    const stops = Array.from({ length: 9 }, (_, k) => colour(k / 8)).join(",");
    html("div", box, null, { class: "ramp", style: `background:linear-gradient(90deg,${stops})` });
    const ends = html("div", box, null, { class: "ends" });
    html("span", ends, short(graph.scale.low));
    html("span", ends, short(graph.scale.high));
  }

  // -- folding, focus, choice -----------------------------------------------------

  function toggle(scope) {
    const opens = scene.folded.has(scope);
    const before = shown.boxes.get(`s${scope}`) || shown.frames.find((f) => f.scope === scope);
    if (!opens) scene.folded.add(scope);
    else if (!scene.open(scope)) {
      tell(`More than ${MOST} boxes at once are not laid out: fold another one first (F).`);
      return;
    }
    state.focus = opens ? scene.keyOf(graph.nodes[scene.inside.get(scope)[0]]) : `s${scope}`;
    render();
    const after = opens ? shown.frames.find((f) => f.scope === scope) : shown.boxes.get(`s${scope}`);
    if (before && after) {
      const top = (box) => box.y - box.height / 2;
      glass.shift((before.x - after.x) * glass.k, (top(before) - top(after)) * glass.k);
    }
    focus(state.focus);
    say(`${graph.scopes[scope].name} ${opens ? "opened" : "folded"}`);
  }

  function focus(key) {
    state.focus = key;
    mark();
    const { x, y } = shown.boxes.get(key);
    glass.bring(x, y);
    world.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
  }

  function act(key) {
    if (key[0] === "s") toggle(+key.slice(1));
    else choose(parseInt(key.slice(1), 10)); // a copy of a leaf is n5@2
  }

  function choose(id) {
    state.chosen = id;
    facts(graph.nodes[id]);
    mark();
  }

  function goTo(id) {
    if (scene.reveal(graph.nodes[id])) render();
    choose(id);
    focus(`n${id}`);
  }

  function close() {
    state.chosen = null;
    $("facts").hidden = true;
    mark();
  }

  function facts(n) {
    const box = $("facts");
    box.replaceChildren();
    box.hidden = false;
    box.scrollTop = 0;
    const shut = html("button", box, "✕", { class: "close", "aria-label": "Close" });
    shut.addEventListener("click", () => { close(); focus(state.focus); });
    html("h2", box, n.title || n.detail);
    if (n.path) html("div", box, n.path, { class: "quiet" });
    if (n.math || n.definition) {
      html("h3", box, "Definition");
      math(box, n.math, n.definition);
    }
    if (n.steps.length) html("h3", box, "Each step");
    for (const markup of n.steps) math(box, markup, "");
    const list = html("dl", box);
    const rows = [["kind", n.word], ["shape", n.shape], ["dtype", n.dtype], ["‖value‖", n.value], ["‖∂L/∂·‖", n.norm]];
    for (const [name, value] of rows) {
      if (value === null || value === undefined || value === "") continue;
      html("dt", list, name);
      html("dd", list, typeof value === "number" ? short(value) : value);
    }
    const back = graph.edges.filter((e) => e.b === n.id && (e.local || e.localMath));
    if (back.length) html("h3", box, "Local derivatives");
    for (const e of back) {
      const line = html("div", box);
      link(line, e.a);
      math(line, e.localMath, e.local);
      if (e.norm !== null) html("div", line, `‖sent back‖ = ${short(e.norm)}`, { class: "quiet" });
    }
    links(box, "Reads", graph.edges.filter((e) => e.b === n.id).map((e) => e.a));
    links(box, "Read by", scene.users[n.id]);
    if (n.source !== null) {
      const more = html("details", box);
      html("summary", more, "Kernel source");
      html("pre", more, graph.sources[n.source], { tabindex: 0 });
    }
  }

  function math(parent, markup, text) {
    const box = html("div", parent, markup ? null : text, { class: "math" });
    // made by the notation, which escapes every name in it
    if (markup) box.append(new DOMParser().parseFromString(markup, "application/xml").documentElement);
  }

  function link(parent, id) {
    const n = graph.nodes[id];
    const name = n.name || n.title;
    const button = html("button", parent, name);
    button.addEventListener("click", () => goTo(id));
  }

  function links(box, title, ids) {
    if (!ids.length) return;
    html("h3", box, title);
    const list = html("ul", box);
    for (const id of new Set(ids)) link(html("li", list), id);
  }

  // -- search -------------------------------------------------------------------

  function search(text) {
    const wanted = text.trim().toLowerCase();
    const matches = (n) => [n.title, n.detail, n.path, n.word, n.full].some((t) => (t || "").toLowerCase().includes(wanted));
    state.found = wanted ? graph.nodes.filter(matches) : [];
    state.hits = new Set(state.found.map((n) => n.id));
    state.at = -1;
    const list = $("found");
    list.replaceChildren();
    list.hidden = !wanted;
    $("search").setAttribute("aria-expanded", String(Boolean(wanted)));
    $("search").removeAttribute("aria-activedescendant");
    state.found.slice(0, 30).forEach((n, k) => {
      const row = html("li", list, n.title && n.detail ? `${n.title}  ${n.detail}` : n.title || n.detail, { role: "option", id: `found${k}`, "aria-selected": "false" });
      if (n.path) html("small", row, n.path);
      row.addEventListener("mousedown", (e) => { e.preventDefault(); pick(k); });
    });
    if (wanted) say(`${state.found.length} found`);
    if (wanted && !state.found.length) html("li", list, "nothing found", { class: "quiet" });
    mark();
  }

  function pick(k) {
    const n = state.found[Math.max(k, 0)];
    $("found").hidden = true;
    $("search").setAttribute("aria-expanded", "false");
    if (n) goTo(n.id);
  }

  $("search").addEventListener("input", (e) => search(e.target.value));
  $("search").addEventListener("blur", () => { $("found").hidden = true; });
  $("search").addEventListener("keydown", (e) => {
    const count = Math.min(state.found.length, 30);
    if (e.key === "Enter") pick(state.at);
    else if (e.key === "Escape") { e.target.value = ""; search(""); focus(state.focus); }
    else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && count) {
      state.at = (state.at + (e.key === "ArrowDown" ? 1 : -1) + count) % count;
      [...$("found").children].forEach((row, k) => row.setAttribute("aria-selected", String(k === state.at)));
      e.target.setAttribute("aria-activedescendant", `found${state.at}`);
      $("found").children[state.at].scrollIntoView({ block: "nearest" });
    } else return;
    e.preventDefault();
    e.stopPropagation();
  });

  // -- keyboard -----------------------------------------------------------------

  const WAYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

  /* The nearest box in a direction, sideways distance counting double. */
  function neighbour([dx, dy]) {
    const from = shown.boxes.get(state.focus);
    let best = null;
    let least = Infinity;
    for (const box of shown.boxes.values()) {
      const along = (box.x - from.x) * dx + (box.y - from.y) * dy;
      const across = Math.abs((box.x - from.x) * dy + (box.y - from.y) * dx);
      if (box === from || along < 4 || (dx && across > along)) continue;
      if (along + 2 * across < least) [best, least] = [box.key, along + 2 * across];
    }
    return best;
  }

  svg.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key in WAYS) {
      const next = neighbour(WAYS[e.key]);
      if (next) focus(next);
    } else if (e.key === "Enter" || e.key === " ") act(state.focus);
    else if (e.key === "f") {
      const box = shown.boxes.get(state.focus);
      const outer = box.node ? scene.path(box.node) : scene.outerOf(box.scope);
      if (outer.length) toggle(outer.at(-1));
    } else return;
    e.preventDefault();
  });

  document.addEventListener("keydown", (e) => {
    if (e.target.matches("input") || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "/") $("search").focus();
    else if (e.key === "Escape") { close(); focus(state.focus); }
    else if (!glass.key(e.key)) return;
    e.preventDefault();
  });

  // -- buttons ------------------------------------------------------------------

  $("fold").addEventListener("click", () => { scene.foldToRead("scope"); render(); glass.fit(); say("all scopes folded"); });
  $("open").addEventListener("click", () => { const whole = scene.foldToRead("auto", OPENED, true); render(); glass.fit(); say("scopes opened"); told(whole); });
  $("fold").hidden = $("open").hidden = !graph.scopes.length;

  for (const name of graph.modes) {
    const button = html("button", $("modes"), name, { "data-mode": name });
    button.addEventListener("click", () => mode(name));
  }
  $("modes").hidden = graph.modes.length < 2;
  function mode(name) {
    state.mode = name;
    for (const b of $("modes").children) b.setAttribute("aria-pressed", String(b.dataset.mode === name));
    render();
  }

  const whole = scene.foldToRead(graph.collapse, READABLE, graph.view === "flow");
  themes(() => mode(state.mode));
  glass.fit(0.75);
  if (graph.collapse === null) told(whole);
})();
