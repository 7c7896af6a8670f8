// The figures of a page. Each is drawn from data at the size that it has, and tells
// `when` what moves: when(start, seconds, p => …) is called with p from 0 to 1.
"use strict";

const NS = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, parent = null) {
  const e = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (parent) parent.append(e);
  return e;
}

function html(tag, className, parent, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

const clamp = (v, low = 0, high = 1) => Math.min(Math.max(v, low), high);
const mix = (a, b, p) => a + (b - a) * p;
const smooth = p => p * p * (3 - 2 * p);
const colour = tone => `var(--${tone || "ink"})`;

function canvas(host, w, h, label) {
  const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img" }, host);
  if (label) svg.setAttribute("aria-label", label);
  else svg.setAttribute("aria-hidden", "true");
  return svg;
}

function write(parent, x, y, text, o = {}) {
  const e = make("text", {
    x, y, "text-anchor": o.anchor || "start", fill: colour(o.tone),
    "font-size": o.size || 14, "font-weight": o.bold ? 650 : 400,
  }, parent);
  if (o.halo) e.setAttribute("class", "halo");
  e.textContent = text;
  return e;
}

const wide = (text, size) => 0.58 * size * [...text].length;

function fitted(text, room, size) {
  const most = Math.max(3, Math.floor(room / (0.58 * size)));
  const letters = [...text];
  return letters.length <= most ? text : letters.slice(0, most - 1).join("") + "…";
}

function head(x, y, dx, dy, size) {
  const n = Math.hypot(dx, dy) || 1, u = dx / n, v = dy / n;
  const bx = x - size * u, by = y - size * v, k = 0.45 * size;
  return `M${x} ${y}L${bx - k * v} ${by + k * u}L${bx + k * v} ${by - k * u}Z`;
}

const superscript = n => String(n).replace(/[-\d]/g, c => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

function shown(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e-3 && size < 1e5) {
    return String(+v.toPrecision(3)).replace("-", "−");
  }
  const [m, e] = v.toExponential(1).split("e");
  const power = "10" + superscript(+e);
  return (+m === 1 ? power : `${+m}·${power}`).replace(/^-/, "−");
}

function ticks(low, high, count, log) {
  if (log) {
    const a = Math.ceil(Math.log10(low) - 1e-9), b = Math.floor(Math.log10(high) + 1e-9);
    const step = Math.max(1, Math.ceil((b - a) / count)), found = [];
    for (let k = b; k >= a; k -= step) found.push(10 ** k);
    return found;
  }
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= 0.999 * rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    found.push(+(k * step).toPrecision(12));
  }
  return found;
}

// The texts of ticks, with as many decimals as tell one from the next.
function labels(values, log) {
  const gap = log || values.length < 2 ? 0 : Math.abs(values[1] - values[0]);
  const most = Math.max(...values.map(Math.abs));
  if (!(gap > 0 && gap < 2e-2 * most && gap >= 1e-6 && most < 1e5)) return values.map(shown);
  const digits = Math.max(0, -Math.floor(Math.log10(gap) + 1e-9));
  return values.map(v => v.toFixed(digits).replace("-", "−"));
}

// -- text ----------------------------------------------------------------------------

// Lines of mathematics (MathML made by symgrad, never by a user) with a word to each.
function drawLines(f, host, w, h, when) {
  const box = html("div", `lines ${f.columns ? "two" : ""}`, host);
  for (const line of f.lines) {
    const row = html("div", `line ${line.tone || ""} ${line.size || ""} ${line.wide ? "wide" : ""}`, box);
    if (line.text) html("span", "said", row, line.text);
    if (line.math) html("span", "formula", row).innerHTML = line.math;
    if (line.then) html("span", "then", row, line.then);
    if (line.at !== undefined) {
      when(line.at, 0.7, p => {
        row.style.opacity = p;
        row.style.transform = `translateY(${(1 - p) * 0.6}rem)`;
      });
    }
  }
  for (const e of box.querySelectorAll(".formula")) {
    const needed = e.firstElementChild ? e.firstElementChild.getBoundingClientRect().width : 0;
    if (f.columns && needed > 1.15 * e.parentElement.clientWidth) e.parentElement.classList.add("wide");
    const room = e.parentElement.clientWidth, own = e.firstElementChild
      ? e.firstElementChild.getBoundingClientRect().width : 0;
    if (own > room && room) e.style.fontSize = `${Math.max(0.55, room / own) * 0.97}em`;
  }
}

function drawTable(f, host, w, h, when) {
  const table = html("table", "grid", host);
  if (f.head) {
    const row = html("tr", "", html("thead", "", table));
    for (const c of f.head) html("th", "", row, c).scope = "col";
  }
  const body = html("tbody", "", table);
  for (const r of f.rows) {
    const row = html("tr", r.tone || "", body);
    r.cells.forEach((c, n) => {
      const cell = html("td", "", row);
      if (c && c.math) cell.innerHTML = c.math; else cell.textContent = c;
      if (f.head && f.head[n]) cell.dataset.head = f.head[n];
    });
    if (r.at !== undefined) when(r.at, 0.5, p => { row.style.opacity = p; });
  }
}

function drawBars(f, host, w, h, when) {
  const list = html("div", "bars", host);
  list.setAttribute("role", "img");
  list.setAttribute("aria-label", f.alt || "");
  if (f.title) html("div", "figure-title", list, f.title);
  const most = Math.max(...f.items.map(i => i.value), 1e-300);
  for (const i of f.items) {
    const row = html("div", "bar-row", list);
    html("span", "bar-name", row, i.label);
    const track = html("span", "bar-track", row);
    const bar = html("span", "bar", track);
    bar.style.background = colour(i.tone);
    const value = html("span", "bar-value", row, i.text);
    when(i.at || 0, 1.2, p => {
      bar.style.width = `${100 * (i.value / most) * p}%`;
      value.style.opacity = p;
    });
  }
}

function drawPixels(image, label, parent) {
  const svg = make("svg", { viewBox: `0 0 ${image[0].length} ${image.length}`, role: "img",
    class: "pixels", "shape-rendering": "crispEdges" }, parent);
  svg.setAttribute("aria-label", label || "sample");
  image.forEach((row, y) => row.forEach((v, x) => make("rect", {
    x, y, width: 1.02, height: 1.02, fill: colour("forward"), "fill-opacity": v,
  }, svg)));
}

// Samples of the data: images, or rows of features, with what belongs to each.
function drawSamples(f, host, w, h, when) {
  const list = html("div", "samples", host);
  f.items.forEach((item, n) => {
    const card = html("figure", "sample", list);
    if (item.image) drawPixels(item.image, item.label, card);
    else html("div", "numbers", card, item.text);
    const words = html("figcaption", "", card, item.label);
    if (item.answer) {
      html("br", "", words);
      const mark = item.right === undefined ? "" : item.right ? " good" : " bad";
      html("span", `answer${mark}`, words, item.answer + (mark === " good" ? " ✓" : mark ? " ✗" : ""));
    }
    when(f.at + 0.12 * n, 0.5, p => { card.style.opacity = p; });
  });
}

// -- charts --------------------------------------------------------------------------

function drawChart(f, host, w, h, when) {
  const size = f.size || clamp(Math.min(w, 1.4 * h) / 48, 12.5, 19), keys = f.series.filter(s => s.label);
  if (f.title) html("div", "figure-title", host, f.title);
  if (keys.length) {
    const legend = html("div", "legend", host);
    for (const s of keys) {
      const key = html("span", "key", legend, s.label);
      key.style.setProperty("--tone", colour(s.tone));
      if (s.dash) key.classList.add("dashed");
    }
  }
  const used = [...host.children].reduce((sum, e) => sum + e.offsetHeight, 0);
  h = Math.max(h - used, 120);
  const svg = canvas(host, w, h, f.alt);
  const values = [...f.series.flatMap(s => s.points), ...(f.marks || []).map(m => [m.x, m.y])];
  const xs = f.x.range || extent(values.map(p => p[0]), f.x.log);
  const ys = f.y.range || extent(values.map(p => p[1]), f.y.log, 0.08);
  const yTicks = ticks(ys[0], ys[1], Math.max(2, h / 70), f.y.log);
  const yTexts = labels(yTicks, f.y.log);
  const left = 12 + Math.max(...yTexts.map(t => wide(t, size)), 20);
  const right = w - 14, top = f.y.label ? 1.9 * size : 10;
  const bottom = h - 1.7 * size - (f.x.label ? 1.5 * size : 0);
  const place = (v, range, log) => log
    ? Math.log(v / range[0]) / Math.log(range[1] / range[0])
    : (v - range[0]) / (range[1] - range[0]);
  const X = v => mix(left, right, place(v, xs, f.x.log));
  const Y = v => mix(bottom, top, place(v, ys, f.y.log));
  const back = make("g", { class: "axes" }, svg);
  yTicks.forEach((t, k) => {
    make("line", { x1: left, x2: right, y1: Y(t), y2: Y(t) }, back);
    write(back, left - 6, Y(t) + 0.35 * size, yTexts[k], { anchor: "end", size, tone: "muted" });
  });
  const xTicks = ticks(xs[0], xs[1], Math.max(2, w / 95), f.x.log), xTexts = labels(xTicks, f.x.log);
  xTicks.forEach((v, k) => {
    const half = wide(xTexts[k], size) / 2, at = clamp(X(v), half, w - half);
    write(back, at, bottom + 1.4 * size, xTexts[k], { anchor: "middle", size, tone: "muted" });
  });
  if (f.x.label) write(back, right, h - 4, f.x.label, { anchor: "end", size, tone: "muted" });
  if (f.y.label) write(back, 4, size, f.y.label, { size, tone: "muted" });
  const plot = { svg, X, Y, left, right, top, bottom, size, w };
  f.series.forEach((s, n) => drawSeries(s, n, plot, when));
  if (f.walk) drawWalk(f.walk, plot, when);
  for (const m of f.marks || []) drawMark(m, plot, when);
}

function extent(values, log, pad = 0) {
  const live = values.filter(v => Number.isFinite(v) && (!log || v > 0));
  let low = Math.min(...live), high = Math.max(...live);
  if (log) return [low / (low === high ? 10 : 1.3), high * 1.3];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  return [low - pad * (high - low), high + pad * (high - low)];
}

let clips = 0;

function drawSeries(s, n, plot, when) {
  const { svg, X, Y, left, right, top, bottom } = plot;
  const group = make("g", {}, svg), at = s.at || 0, last = s.for || 1.5;
  const points = s.points.filter(p => Number.isFinite(p[1]));
  if (s.shape !== "dots") {
    const id = `clip${clips++}`;
    const clip = make("clipPath", { id }, svg);
    const window = make("rect", { x: left - 4, y: top - 6, height: bottom - top + 12, width: 0 }, clip);
    const d = points.map(([x, y], k) => `${k ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`);
    const path = make("path", { d: d.join(""), fill: "none", stroke: colour(s.tone),
      "stroke-width": s.width || 3, "stroke-linejoin": "round", "stroke-linecap": "round",
      "clip-path": `url(#${id})` }, group);
    if (s.dash) path.setAttribute("stroke-dasharray", "6 6");
    when(at, last, p => window.setAttribute("width", p * (right - left + 8)));
  }
  if (s.shape !== "line") {
    points.forEach(([x, y], k) => {
      const dot = make("circle", { cx: X(x), cy: Y(y), r: s.radius || 4.5, fill: colour(s.tone), class: "ringed" }, group);
      when(at + last * k / Math.max(points.length, 1), 0.35, p => {
        dot.setAttribute("opacity", p);
      });
    });
  }
}

// A ball that descends step by step; at each step the gradient points uphill.
function drawWalk(s, plot, when) {
  const { svg, X, Y, size, w } = plot;
  const path = s.points.map(([x, y]) => [X(x), Y(y)]), n = path.length - 1;
  const steps = path.map(([x, y]) => make("circle", { cx: x, cy: y, r: 4.5, fill: colour(s.tone), class: "ringed" }, svg));
  const arrow = make("g", { fill: colour("backward"), stroke: colour("backward") }, svg);
  const shaft = make("line", { "stroke-width": 3 }, arrow), tip = make("path", { stroke: "none" }, arrow);
  const word = write(arrow, 0, 0, s.label || "", { tone: "backward", bold: true, size, halo: true });
  const ball = make("circle", { r: 9, fill: colour(s.tone), class: "ringed thick" }, svg);
  const steepest = Math.max(...s.slopes.map(Math.abs)) || 1;
  when(s.at, s.for, p => {
    const at = p * n, k = Math.min(Math.floor(at), Math.max(n - 1, 0)), q = smooth(clamp((at - k - 0.45) / 0.55));
    const a = path[k], b = path[Math.min(k + 1, n)], x = mix(a[0], b[0], q), y = mix(a[1], b[1], q);
    ball.setAttribute("transform", `translate(${x} ${y})`);
    steps.forEach((dot, i) => dot.setAttribute("opacity", i < at || i === 0 ? 0.75 : 0));
    const slope = s.slopes[p >= 1 ? n : k];
    let dx = Math.sign(slope) * (X(1) - X(0)), dy = Math.abs(slope) * (Y(1) - Y(0));
    const long = (18 + 70 * Math.abs(slope) / steepest) / (Math.hypot(dx, dy) || 1);
    const [ex, ey] = [x + dx * long, Math.max(y + dy * long, plot.top)];
    arrow.setAttribute("opacity", slope && (q === 0 || p >= 1) ? 1 : 0.15);
    for (const [name, value] of Object.entries({ x1: x, y1: y, x2: mix(x, ex, 0.85), y2: mix(y, ey, 0.85) })) {
      shaft.setAttribute(name, value);
    }
    tip.setAttribute("d", head(ex, ey, ex - x, ey - y, 13));
    const flip = ex + wide(s.label || "", size) + 10 > w;
    word.setAttribute("x", ex + (flip ? -10 : 10));
    word.setAttribute("y", ey + 5);
    word.setAttribute("text-anchor", flip ? "end" : "start");
    word.setAttribute("opacity", p > 0.3 ? 0 : 1);
  });
}

function drawMark(m, plot, when) {
  const { svg, X, Y, size, w, top } = plot;
  const g = make("g", {}, svg), x = X(m.x), y = Y(m.y);
  make("circle", { cx: x, cy: y, r: 7, fill: "none", stroke: colour(m.tone), "stroke-width": 2.5 }, g);
  const half = wide(m.label, size) / 2, at = clamp(x, half + 2, w - half - 2);
  const above = m.below && y + 2 * size < plot.bottom ? y + 1.9 * size : y - 1.1 * size;
  write(g, at, Math.max(above, top + size), m.label, { anchor: "middle", tone: m.tone, bold: true, size, halo: true });
  when(m.at || 0, 0.6, p => g.setAttribute("opacity", p));
}
