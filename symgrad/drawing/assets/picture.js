"use strict";
/* A laid-out picture in the page: pan, zoom, search, and the facts of a node. */
(() => {
  const $ = (id) => document.getElementById(id);
  const picture = $("world").firstElementChild;
  const nodes = [...picture.querySelectorAll("g.node")].filter((g) => g.querySelector("text"));
  const wordsOf = (g) => [...g.querySelectorAll("text")].map((t) => t.textContent.trim()).join(", ");
  const hintOf = (g) => g.querySelector("a")?.getAttribute("xlink:title") || "";
  const facts = nodes.filter((g) => /=/.test(hintOf(g)));
  const glass = new Glass($("canvas"), $("world"), () => [picture.width.baseVal.value, picture.height.baseVal.value]);
  let at = -1;

  function centre(g) {
    const box = g.getBoundingClientRect();
    const frame = $("canvas").getBoundingClientRect();
    return [(box.x + box.width / 2 - frame.x - glass.x) / glass.k, (box.y + box.height / 2 - frame.y - glass.y) / glass.k];
  }

  function show(g) {
    at = facts.indexOf(g);
    nodes.forEach((n) => n.classList.toggle("chosen", n === g));
    glass.bring(...centre(g));
    const box = $("facts");
    box.replaceChildren();
    box.hidden = false;
    const shut = document.createElement("button");
    shut.textContent = "✕";
    shut.className = "close";
    shut.setAttribute("aria-label", "Close");
    shut.addEventListener("click", close);
    const title = document.createElement("h2");
    title.textContent = wordsOf(g);
    const hint = document.createElement("pre");
    hint.textContent = hintOf(g);
    box.append(shut, title, hint);
    g.focus({ preventScroll: true });
  }

  function close() {
    $("facts").hidden = true;
    nodes.forEach((n) => n.classList.remove("chosen"));
  }

  for (const g of facts) {
    g.setAttribute("tabindex", 0);
    g.setAttribute("role", "button");
    g.setAttribute("aria-label", wordsOf(g));
    g.addEventListener("click", (e) => { e.preventDefault(); show(g); });
    g.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); show(g); } });
  }

  $("search").addEventListener("input", (e) => {
    const wanted = e.target.value.trim().toLowerCase();
    const hits = nodes.filter((g) => wanted && (wordsOf(g) + hintOf(g)).toLowerCase().includes(wanted));
    nodes.forEach((g) => g.classList.toggle("hit", hits.includes(g)));
    if (hits.length) glass.bring(...centre(hits[0]));
    $("status").textContent = wanted ? `${hits.length} found` : "";
  });

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "Escape") { close(); $("search").value = ""; $("search").dispatchEvent(new Event("input")); $("search").blur(); }
    else if (e.target.matches("input")) return;
    else if (e.key === "/") $("search").focus();
    else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && facts.length) {
      at = (at + (e.key === "ArrowDown" ? 1 : -1) + facts.length) % facts.length;
      show(facts[at]);
    } else if (!glass.key(e.key)) return;
    e.preventDefault();
  });

  for (const id of ["modes", "fold", "open"]) $(id).hidden = true;
  themes(() => {});
  glass.fit();
})();
