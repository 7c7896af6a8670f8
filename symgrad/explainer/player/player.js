// The player: a timeline of scenes. Everything on the stage is a function of time, so
// that it can be played, scrubbed, stopped and printed.
"use strict";

(() => {
  const story = JSON.parse(document.getElementById("story").textContent);
  const scenes = story.scenes;
  let total = 0;
  for (const s of scenes) {
    s.start = total;
    total += s.seconds;
  }

  const $ = id => document.getElementById(id);
  const root = document.documentElement;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { time: 0, playing: false, speed: 1, scene: null, beat: -1, motion: !calm.matches };
  let stage = null, last = null;

  // -- the stage ---------------------------------------------------------------------

  // A scene on a host element; `size` fixes the size of its figures, for stills.
  class Stage {
    constructor(scene, host, size) {
      this.moves = [];
      this.scene = scene;
      this.box = html("div", `panels ${scene.layout || "row"}`, host);
      const panels = scene.panels.map(f => {
        const panel = html("div", `panel panel-${f.kind}`, this.box);
        panel.style.setProperty("--weight", f.weight || 1);
        return [f, panel];
      });
      const order = [...panels].sort((a, b) => sized(a[0]) - sized(b[0]));
      for (const [f, panel] of order) {
        const w = size ? size.w : panel.clientWidth, h = size ? size.h : panel.clientHeight;
        FIGURES[f.kind](f, panel, Math.max(w, 200), Math.max(h, 130),
          (at, seconds, move) => this.moves.push([at, seconds, move]));
      }
    }

    render(t, motion) {
      t = written(this.scene.pace, t);
      for (const [at, seconds, move] of this.moves) {
        move(motion ? smooth(clamp((t - at) / seconds)) : t > at ? 1 : 0);
      }
    }
  }

  // Text takes the room that it needs before drawings are fitted into the rest.
  const sized = f => ["lines", "table", "bars", "samples", "units"].includes(f.kind) ? 0 : 1;

  // Figures have times of their own: a caption that takes long slows them down.
  function written(pace, t) {
    let k = 0;
    while (k + 2 < pace.length && pace[k + 1][0] <= t) k++;
    const [[a, from], [b, to]] = [pace[k], pace[k + 1]];
    return mix(from, to, (t - a) / (b - a));
  }

  function mount(scene) {
    const host = $("stage");
    host.replaceChildren();
    stage = new Stage(scene, host, null);
    $("number").textContent = `${scenes.indexOf(scene) + 1} / ${scenes.length}`;
    $("title").textContent = scene.title;
    $("note").textContent = scene.note || "";
    $("note").hidden = !scene.note;
    for (const b of $("chapters").querySelectorAll("button")) {
      b.toggleAttribute("aria-current", b.dataset.scene === scene.id);
    }
    state.scene = scene;
    state.beat = -1;
    state.scrolled = false;
    host.scrollTop = 0;
  }

  const sceneAt = t => scenes.findLast(s => s.start <= t + 1e-9) || scenes[0];

  function beatAt(scene, t) {
    let k = 0;
    while (k + 1 < scene.beats.length && scene.beats[k + 1].at <= t + 1e-9) k++;
    return k;
  }

  // Without motion a scene is a still of all that its present caption has come to.
  function still(scene, k) {
    const next = scene.beats[k + 1];
    return next ? next.at - 1e-6 : scene.seconds;
  }

  function show() {
    const scene = sceneAt(state.time), t = state.time - scene.start;
    if (scene !== state.scene) mount(scene);
    const k = beatAt(scene, t);
    if (k !== state.beat) {
      $("caption").textContent = scene.beats[k].text;
      state.beat = k;
    }
    const now = state.motion ? t : still(scene, k);
    stage.render(now, state.motion);
    follow(now / scene.seconds);
    const fade = state.motion && state.playing
      ? clamp(Math.min(t / 0.45, (scene.seconds - t) / 0.3)) : 1;
    $("stage").style.opacity = scene.start + scene.seconds >= total ? clamp(t / 0.45 + (state.playing ? 0 : 1)) : fade;
    root.dataset.time = state.time.toFixed(3);
    root.dataset.scene = scene.id;
    const place = $("place");
    place.value = state.time;
    place.style.setProperty("--done", `${100 * state.time / total}%`);
    const said = `${clock(state.time)} of ${clock(total)}, ${scene.title}`;
    if (place.getAttribute("aria-valuetext") !== said) place.setAttribute("aria-valuetext", said);
    $("clock").textContent = `${clock(state.time)} / ${clock(total)}`;
  }

  // Where a scene is taller than the screen, what is told at present is in sight; a
  // reader who scrolls is left alone until the next scene.
  function follow(part) {
    const host = $("stage"), hidden = host.scrollHeight - host.clientHeight;
    if (hidden < 2 || state.scrolled) return;
    host.scrollTop = hidden * smooth(clamp((part - 0.25) / 0.5));
  }

  const clock = t => `${Math.floor(t / 60)}:${String(Math.floor(t % 60)).padStart(2, "0")}`;

  // What the cover hides is not to be reached by the keyboard either.
  function uncover(is = true) {
    $("cover").hidden = is;
    document.querySelector(".app").inert = !is;
  }

  // -- time --------------------------------------------------------------------------

  function seek(t) {
    state.time = clamp(t, 0, total);
    uncover();
    show();
  }

  function play(on) {
    if (on && state.time >= total - 1e-6) state.time = 0;
    state.playing = on;
    root.dataset.playing = on;
    const button = $("play");
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    button.classList.toggle("on", on);
    if (on) {
      uncover();
      last = null;
      requestAnimationFrame(tick);
    }
    show();
  }

  function tick(now) {
    if (!state.playing) return;
    if (last !== null) state.time = Math.min(state.time + state.speed * (now - last) / 1000, total);
    last = now;
    if (state.time >= total) play(false);
    else {
      show();
      requestAnimationFrame(tick);
    }
  }

  function chapter(by) {
    const k = scenes.indexOf(sceneAt(state.time));
    // back: to the start of this scene first, as players do
    const here = by < 0 && state.time - scenes[k].start > 1.5 ? k : k + by;
    seek(scenes[clamp(here, 0, scenes.length - 1)].start);
  }

  // In stills, arrows go from caption to caption.
  function step(by) {
    if (state.motion) return seek(state.time + 5 * by);
    const all = scenes.flatMap(s => s.beats.map(b => s.start + b.at));
    const k = all.findLastIndex(t => t <= state.time + 1e-6);
    return seek(all[clamp(k + by, 0, all.length - 1)]);
  }

  function faster(by) {
    const options = [...$("speed").options].map(o => o.value);
    const k = clamp(options.indexOf($("speed").value) + by, 0, options.length - 1);
    $("speed").value = options[k];
    state.speed = +options[k];
  }

  // -- storyboard --------------------------------------------------------------------

  function storyboard() {
    const board = $("board");
    if (board.childElementCount) return;
    scenes.forEach((scene, n) => {
      const card = html("section", "card", board);
      html("h2", "", card, `${n + 1}  ${scene.title}`);
      if (scene.note) html("p", "note", card, scene.note);
      const host = html("div", "still", card);
      for (const b of scene.beats) html("p", "said", card, b.text);
      const narrow = scene.layout === "column" || scene.panels.length === 1;
      new Stage(scene, host, { w: narrow ? 900 : 520, h: narrow ? 340 : 320 }).render(scene.seconds, false);
    });
  }

  function toggle(name, on) {
    const sheet = document.activeElement && document.activeElement.closest(".sheet");
    const open = on ?? root.dataset.open !== name;
    root.dataset.open = open ? name : "";
    $("show-chapters").setAttribute("aria-expanded", root.dataset.open === "chapters");
    $("show-keys").setAttribute("aria-expanded", root.dataset.open === "keys");
    $("show-board").setAttribute("aria-pressed", root.dataset.open === "board");
    if (root.dataset.open === "board") {
      play(false);
      storyboard();
    } else if (state.scene) {
      mount(state.scene);
      show();
    }
    if (sheet && sheet.id !== root.dataset.open) $(`show-${sheet.id}`).focus();
    if (root.dataset.open === "keys") $("keys").focus();
    if (root.dataset.open === "chapters") {
      ($("chapters").querySelector("[aria-current]") || $("chapters").querySelector("button")).focus();
    }
  }

  // -- controls ----------------------------------------------------------------------

  function controls() {
    $("play").onclick = $("start").onclick = () => play(!state.playing);
    $("back").onclick = () => chapter(-1);
    $("next").onclick = () => chapter(1);
    $("speed").onchange = () => { state.speed = +$("speed").value; };
    $("place").max = total;
    $("place").oninput = () => seek(+$("place").value);
    $("show-chapters").onclick = () => toggle("chapters");
    $("show-keys").onclick = () => toggle("keys");
    $("show-board").onclick = () => toggle("board");
    $("theme").onclick = () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    };
    for (const way of ["wheel", "touchmove"]) {
      $("stage").addEventListener(way, () => { state.scrolled = true; }, { passive: true });
    }
    $("motion").onclick = () => motion(!state.motion);
    const list = $("chapters").querySelector("ol");
    scenes.forEach((s, n) => {
      const button = html("button", "", html("li", "", list));
      button.type = "button";
      button.dataset.scene = s.id;
      html("span", "", button, s.title);
      html("span", "muted", button, clock(s.start));
      button.onclick = () => { toggle("", true); seek(s.start); };
      const mark = html("span", "mark", $("marks"));
      mark.style.flexGrow = s.seconds;
      mark.title = s.title;
    });
  }

  function motion(on) {
    state.motion = on;
    $("motion").setAttribute("aria-pressed", on);
    root.dataset.motion = on;
    show();
  }

  const KEYS = {
    " ": () => play(!state.playing), k: () => play(!state.playing),
    ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    ArrowUp: () => chapter(-1), ArrowDown: () => chapter(1),
    PageUp: () => chapter(-1), PageDown: () => chapter(1),
    "[": () => chapter(-1), "]": () => chapter(1),
    Home: () => seek(0), End: () => seek(total),
    "<": () => faster(-1), ">": () => faster(1), ",": () => faster(-1), ".": () => faster(1),
    c: () => toggle("chapters"), s: () => toggle("board"), m: () => motion(!state.motion),
    t: () => $("theme").click(), "?": () => toggle("keys"), Escape: () => toggle("", true),
  };

  function key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const tag = e.target.tagName;
    if (tag === "SELECT" || (tag === "BUTTON" && [" ", "Enter"].includes(e.key))) return;
    let act = KEYS[e.key];
    if (/^\d$/.test(e.key)) {
      const n = e.key === "0" ? 9 : +e.key - 1;
      act = () => scenes[n] && seek(scenes[n].start);
    }
    if (!act || (root.dataset.open === "board" && /Arrow|Page|Home|End| /.test(e.key))) return;
    e.preventDefault();
    act();
  }

  controls();
  uncover(false);
  $("start").focus();
  motion(state.motion);
  calm.addEventListener("change", () => motion(!calm.matches));
  addEventListener("keydown", key);
  addEventListener("beforeprint", storyboard);
  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      if (state.scene && root.dataset.open !== "board") {
        mount(state.scene);
        show();
      }
    });
  }).observe($("stage"));
  show();
})();
