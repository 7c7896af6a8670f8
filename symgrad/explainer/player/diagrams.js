// Diagrams: layers with values or gradients that flow, roads with blocks, factors.
"use strict";

// Layers in a row (in a column where it is narrow), each with some of its values.
function drawLayers(f, host, w, h, when) {
  const svg = canvas(host, w, h, f.alt);
  const upright = w < 520, n = f.nodes.length;
  const size = upright ? 12.5 : clamp(w / n / 9, 13, 18);
  const most = Math.max(...f.nodes.map(l => l.cells.length));
  const backward = f.flow === "backward";
  const margin = upright ? 118 : 0, foot = upright ? 0 : 4.4 * size;
  const arcs = f.arcs || [], rise = arcs.length ? (upright ? 34 : 44) : 8;
  const along = k => upright
    ? mix(16, h - 16, n > 1 ? k / (n - 1) : 0.5)
    : mix(w / n / 2, w - w / n / 2, n > 1 ? k / (n - 1) : 0.5);
  const across = upright ? [margin, w - rise - 6] : [rise, h - foot];
  const pitch = Math.min((across[1] - across[0]) / most, upright ? 26 : 40);
  const cell = Math.min(pitch - 3, upright ? Math.max(9, (h - 32) / (n - 1 || 1) * 0.5) : w / n * 0.5, upright ? 22 : 34);
  const middle = mix(across[0], across[1], 0.5), frames = f.nodes.map((node, k) =>
    node.image && frame(node.image, along(k), middle, upright, cell, across[1] - across[0], w / n));
  const place = (k, i) => {
    const m = f.nodes[k].cells.length, r = frames[k];
    if (r) return upright ? [r.x + r.w * (i + 0.5) / m, r.y + r.h] : [r.x + r.w, r.y + r.h * (i + 0.5) / m];
    const d = mix(across[0], across[1], 0.5) + (i - (m - 1) / 2) * pitch;
    return upright ? [d, along(k)] : [along(k), d];
  };
  const step = f.step, hop = k => f.at + step * (backward ? n - 1 - k : k);
  for (let k = 0; k + 1 < n; k++) drawWires(f, svg, k, place, step, hop, backward, when);
  const edge = upright ? mix(across[0], across[1], 0.5) + (most / 2) * pitch + 4
    : mix(across[0], across[1], 0.5) - (most / 2) * pitch - 4;
  arcs.forEach(([a, b]) => drawArc(svg, upright, [a, b], along, edge, hop, step, backward, when));
  f.nodes.forEach((node, k) => {
    const under = make("g", {}, svg), g = make("g", {}, svg);
    if (node.image) drawImage(node.image, frames[k], under, g);
    else node.cells.forEach((v, i) => {
      const [x, y] = place(k, i);
      const box = { x: x - cell / 2, y: y - cell / 2, width: cell, height: cell, rx: 0.22 * cell };
      make("rect", { ...box, class: "cell" }, under);
      make("rect", { ...box, fill: colour(backward ? "backward" : v < 0 ? "negative" : "forward"),
        "fill-opacity": clamp(Math.abs(v)) }, g);
      if (node.labels && cell >= 14 && !upright) write(under, x + cell / 2 + 5, y + 4, node.labels[i], { size: 11.5, tone: "muted" });
    });
    const said = make("g", {}, svg), value = make("g", {}, svg);
    if (upright) {
      write(said, 0, along(k) - 1, fitted(node.name, margin - 6, size), { size, bold: true });
      write(value, 0, along(k) + size, fitted(node.value || "", margin - 6, size - 1), { size: size - 1, tone: backward ? "backward-ink" : "muted" });
    } else {
      const room = w / n - 6, x = along(k), y = h - foot + 1.6 * size;
      write(said, x, y, fitted(node.name, room, size), { anchor: "middle", size, bold: true });
      write(said, x, y + 1.3 * size, fitted(node.detail || "", room, size - 1.5), { anchor: "middle", size: size - 1.5, tone: "muted" });
      write(value, x, y + 2.6 * size, fitted(node.value || "", room, size - 0.5), { anchor: "middle", size: size - 0.5, tone: backward ? "backward-ink" : "forward-ink" });
    }
    when(hop(k), 0.6, p => { g.setAttribute("opacity", p); value.setAttribute("opacity", p); });
  });
}

// A sample that is a picture stands for itself; wires come from all over it.
function frame(image, along, across, upright, cell, room, wide) {
  const rows = image.length, columns = image[0].length;
  const scale = Math.min((upright ? 2 * cell : 0.8 * wide) / columns, (upright ? 2 * cell : 0.9 * room) / rows);
  const [w, h] = [columns * scale, rows * scale];
  const [x, y] = upright ? [across - w / 2, along - h / 2] : [along - w / 2, across - h / 2];
  return { x, y, w, h, scale };
}

function drawImage(image, { x, y, w, h, scale }, under, g) {
  make("rect", { x, y, width: w, height: h, class: "node-image" }, under);
  image.forEach((row, r) => row.forEach((v, c) => make("rect", {
    x: x + c * scale, y: y + r * scale, width: scale + 0.3, height: scale + 0.3,
    fill: colour("forward"), "fill-opacity": v,
  }, g)));
}

function drawWires(f, svg, k, place, step, hop, backward, when) {
  const a = f.nodes[k].cells.length, b = f.nodes[k + 1].cells.length;
  const tone = backward ? "backward" : "forward";
  const strength = backward ? f.nodes[k].width ?? 1 : 1;
  const wires = make("g", { class: "wires" }, svg), lit = make("g", {}, svg), balls = [];
  for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) {
    const [x1, y1] = place(k, i), [x2, y2] = place(k + 1, j);
    make("line", { x1, y1, x2, y2 }, wires);
    if ((i * 7 + j * 3) % Math.ceil(a * b / 14)) continue;
    make("line", { x1, y1, x2, y2, stroke: colour(tone), "stroke-width": 0.6 + 2 * strength, "stroke-opacity": 0.15 + 0.45 * strength }, lit);
    const ball = make("circle", { r: 2 + 2.4 * strength, fill: colour(tone), "fill-opacity": 0.25 + 0.75 * strength }, svg);
    balls.push([ball, [x1, y1], [x2, y2]]);
  }
  const start = backward ? hop(k + 1) + 0.25 : hop(k) + 0.25;
  when(start, Math.max(step - 0.15, 0.3), p => {
    lit.setAttribute("opacity", p);
    for (const [ball, from, to] of balls) {
      const q = backward ? 1 - p : p;
      ball.setAttribute("cx", mix(from[0], to[0], q));
      ball.setAttribute("cy", mix(from[1], to[1], q));
      ball.setAttribute("opacity", p > 0 && p < 1 ? 1 : 0);
    }
  });
}

function drawArc(svg, upright, [a, b], along, edge, hop, step, backward, when) {
  const s = along(a), e = along(b);
  const far = upright ? edge + 30 : Math.max(edge - 36, 4);
  const d = upright
    ? `M${edge} ${s}C${far} ${s} ${far} ${e} ${edge} ${e}`
    : `M${s} ${edge}C${s} ${far} ${e} ${far} ${e} ${edge}`;
  make("path", { d, class: "arc" }, svg);
  const path = make("path", { d, fill: "none", stroke: colour(backward ? "backward" : "forward"), "stroke-width": 3.5, pathLength: 1, "stroke-dasharray": "1 1" }, svg);
  const first = backward ? hop(b) : hop(a);
  when(first + 0.2, step * Math.abs(b - a), p => {
    path.setAttribute("stroke-dashoffset", backward ? p - 1 : 1 - p);
    path.setAttribute("opacity", p ? 1 : 0);
  });
}

// Roads with blocks beside them. A lane without a road is a chain of its blocks.
function drawRoads(f, host, w, h, when) {
  const svg = canvas(host, w, h, f.alt), upright = w < 520, lanes = f.lanes.length;
  f.lanes.forEach((lane, n) => {
    const room = (upright ? w : h) / lanes;
    drawLane(svg, lane, upright, upright ? h : w, n * room, room, when);
  });
}

function drawLane(svg, lane, upright, long, offset, room, when) {
  const n = lane.blocks.length, size = upright ? 12 : clamp(long / n / 11, 13, 20);
  const side = Math.max(64, ...(lane.marks || []).map(m => wide(m.text, size) + 26));
  const start = upright ? 44 : side, end = long - (upright ? 40 : side);
  const line = offset + (upright ? (lane.road ? 26 : room / 2) : room * (lane.road ? 0.68 : 0.55));
  const point = (s, d) => upright ? [line + d, s] : [s, line - d];
  const at = (s, d) => point(s, d).join(" ");
  const centre = k => mix(start, end, (k + 0.5) / n), half = (end - start) / n / 2;
  const reach = upright ? room - 32 : room * 0.36;
  const boxWide = upright ? Math.min(room - (lane.road ? 62 : 20), 120) : Math.min(1.15 * half, 170);
  const boxHigh = upright ? Math.min(half * 0.8, 34) : clamp(room * 0.14, 34, 54);
  const d = lane.road ? (upright ? 22 + boxWide / 2 : reach) : 0;
  if (lane.title) write(svg, upright ? offset : 0, upright ? 14 : offset + size + 4, fitted(upright ? lane.short : lane.title, upright ? room - 6 : 600, size + 1), { size: size + 1, bold: true });
  const road = make("path", { d: `M${at(start, 0)}L${at(end, 0)}`, class: lane.road ? "road" : "lane" }, svg);
  road.setAttribute("fill", "none");
  if (lane.start) write(svg, ...(upright ? [line, start - 10] : [start - 10, line + 5]), lane.start, { anchor: upright ? "middle" : "end", size, tone: "muted" });
  if (lane.end) write(svg, ...(upright ? [line, end + 20] : [end + 12, line + 5]), lane.end, { anchor: upright ? "middle" : "start", size, tone: "muted" });
  const under = make("g", {}, svg), flow = make("g", {}, svg);
  lane.blocks.forEach((block, k) => {
    const s = centre(k), near = 0.72 * half;
    const ways = lane.road
      ? `M${at(s - near, 0)}C${at(s - near, d)} ${at(s - near, d)} ${at(s - 0.3 * half, d)}L${at(s + 0.3 * half, d)}C${at(s + near, d)} ${at(s + near, d)} ${at(s + near, 0)}`
      : "";
    if (ways) make("path", { d: ways, class: "way" }, under);
    drawGradient(flow, lane, block, k, { start, end, at, s, half, ways, n }, when);
    const [x, y] = point(s, d);
    make("rect", { x: x - boxWide / 2, y: y - boxHigh / 2, width: boxWide, height: boxHigh, rx: 8, class: "block" }, svg);
    const letters = Math.min(size, Math.max(11.5, (boxWide - 10) / 0.62 / [...block.name].length));
    write(svg, x, y + 0.35 * letters, fitted(block.name, boxWide - 6, letters), { anchor: "middle", size: letters, bold: true });
    if (lane.road) {
      const [px, py] = point(s + near, 0);
      make("circle", { cx: px, cy: py, r: 9, class: "plus" }, svg);
      write(svg, px, py + 5, "+", { anchor: "middle", size: 15, bold: true });
    }
    (block.notes || []).forEach((note, i) => {
      const notes = make("g", {}, svg);
      const [nx, ny] = upright
        ? [x + 9, y + boxHigh / 2 + (i + 1) * (size + 1)]
        : [s, (lane.road ? line : line + boxHigh / 2) + 24 + i * (size + 4)];
      write(notes, nx, ny, fitted(note.text, upright ? boxWide + 20 : 2 * half - 6, size - 0.5), { anchor: upright ? "start" : "middle", size: size - 0.5, tone: note.tone, halo: true });
      when(note.at ?? block.at ?? lane.at, 0.6, p => notes.setAttribute("opacity", p));
    });
  });
  for (const mark of lane.marks || []) {
    const s = mix(start, end, mark.place), [x, y] = point(s, 0);
    const g = make("g", {}, svg);
    const first = mark.place === 0;
    write(g, upright ? offset : x + (first ? -14 : 14), y + (upright ? (first ? -8 : 18) : 5), mark.text, { anchor: upright || !first ? "start" : "end", size, tone: mark.tone, bold: true, halo: true });
    when(mark.at, 0.6, p => g.setAttribute("opacity", p));
  }
}

// What flows along a stretch of a lane: the values first, then the gradient back.
function drawGradient(parent, lane, block, k, o, when) {
  const { start, end, at, s, half, ways, n } = o;
  const a = s - half, b = s + half;
  const stretch = (tone, width) => make("path", { d: `M${at(a, 0)}L${at(b, 0)}`, stroke: colour(tone), "stroke-width": width, fill: "none", pathLength: 1, "stroke-dasharray": "1 1" }, parent);
  const round = (tone, width) => ways && make("path", { d: ways, stroke: colour(tone), "stroke-width": width, fill: "none", pathLength: 1, "stroke-dasharray": "1 1" }, parent);
  const values = [];
  if (lane.forward !== undefined) {
    const step = lane.forwardFor / n, main = stretch("forward", lane.road ? 7 : 3), side = round("forward", 3);
    values.push(main, side);
    when(lane.forward + k * step, step, p => {
      for (const path of [main, side]) {
        if (path) { path.setAttribute("stroke-dashoffset", 1 - p); path.setAttribute("opacity", p ? 0.85 : 0); }
      }
    });
  }
  if (lane.backward !== undefined) {
    const step = lane.backwardFor / n;
    const main = stretch("backward", block.road ?? 4), side = round("backward", block.block ?? 2);
    when(lane.backward + (n - 1 - k) * step, step, p => {
      for (const path of values) if (path && p) path.setAttribute("opacity", 0.85 * (1 - p));
      for (const path of [main, side]) {
        if (path) { path.setAttribute("stroke-dashoffset", p - 1); path.setAttribute("opacity", p ? block.fade ?? 1 : 0); }
      }
    });
  }
}

// A frozen matrix and the two thin factors that are added to it, to scale.
function drawFactors(f, host, w, h, when) {
  const svg = canvas(host, w, h, f.alt), size = clamp(w / 36, 13, 18), foot = 4.2 * size;
  const [m, n, r] = [f.rows, f.columns, f.rank];
  const gap = 44, scale = Math.min((w - 3 * gap) / (2 * n + Math.max(r, 0.04 * n) ), (h - foot - 12) / m);
  const W = n * scale, H = m * scale, R = Math.max(r * scale, 9);
  let x = Math.max(2, (w - (2 * W + R + 3 * gap - gap)) / 2);
  const y = 6 + Math.max(0, (h - foot - 12 - H) / 2);
  const box = (bx, by, bw, bh, tone, name, note, at, lower = 0) => {
    const g = make("g", {}, svg);
    make("rect", { x: bx, y: by, width: bw, height: bh, rx: 5, fill: colour(tone), "fill-opacity": 0.22, stroke: colour(tone), "stroke-width": 2 }, g);
    const inside = bw > 60 && bh > 40;
    write(g, bx + bw / 2, inside ? by + bh / 2 + 5 : by + bh + 1.3 * size, name, { anchor: "middle", size: size + 2, bold: true, tone: inside ? "ink" : tone + "-ink" });
    const half = wide(note, size - 1.5) / 2;
    write(g, clamp(bx + bw / 2, half, w - half), (inside ? y + H + 1.45 * size : by + bh + 2.55 * size) + lower, note, { anchor: "middle", size: size - 1.5, tone: "muted" });
    when(at, 0.7, p => g.setAttribute("opacity", p));
  };
  box(x, y, W, H, "frozen", f.names[0], f.notes[0], f.at);
  write(svg, x + W + gap / 2, y + H / 2 + 8, "+", { anchor: "middle", size: 26, bold: true });
  x += W + gap;
  box(x, y, R, H, "param", f.names[1], f.notes[1], f.at + 1, W > 60 && H > 40 ? 0 : 1.2 * size);
  write(svg, x + R + gap / 2, y + R / 2 + 8, "·", { anchor: "middle", size: 28, bold: true });
  x += R + gap;
  box(x, y, W, R, "param", f.names[2], f.notes[2], f.at + 1.6);
}

// A chain of values: each link shows its slope, first forward, then back.
function drawChain(f, host, w, h, when) {
  const svg = canvas(host, w, h, f.alt), n = f.nodes.length, upright = w < 520;
  const size = upright ? 13 : clamp(w / n / 11.5, 15, 26), r = Math.min(upright ? w / n / 3.1 : w / n / 4, h / 3, 76);
  const y = h / 2, X = k => mix(r + 10, w - r - 10, k / (n - 1));
  f.nodes.forEach((node, k) => {
    if (k) {
      const [a, b] = [X(k - 1) + r + 5, X(k) - r - 5], link = f.links[k - 1], middle = (a + b) / 2;
      make("line", { x1: a, x2: b, y1: y, y2: y, class: "link" }, svg);
      const go = make("g", {}, svg), back = make("g", {}, svg);
      make("path", { d: `M${a} ${y - 9}H${b - 6}`, stroke: colour("forward"), "stroke-width": 3 }, go);
      make("path", { d: head(b, y - 9, 1, 0, 12), fill: colour("forward") }, go);
      make("path", { d: `M${b} ${y + 9}H${a + 6}`, stroke: colour("backward"), "stroke-width": 3 }, back);
      make("path", { d: head(a, y + 9, -1, 0, 12), fill: colour("backward") }, back);
      write(back, middle, upright ? y + r + 1.3 * size : y + 9 + 1.5 * size, link.text, { anchor: "middle", size, tone: "backward-ink", bold: true });
      if (!upright) write(back, middle, y + 9 + 2.8 * size, link.name, { anchor: "middle", size: 0.8 * size, tone: "muted" });
      when(link.forward, 0.6, p => go.setAttribute("opacity", p));
      when(link.backward, 0.7, p => back.setAttribute("opacity", p));
    }
    const g = make("g", {}, svg);
    make("circle", { cx: X(k), cy: y, r, class: "bead" }, svg);
    write(svg, X(k), y - 0.05 * size, node.name, { anchor: "middle", size: 1.15 * size, bold: true });
    write(g, X(k), y + 1.15 * size, node.text, { anchor: "middle", size: 0.85 * size, tone: "forward-ink" });
    svg.append(g);
    when(node.at, 0.6, p => g.setAttribute("opacity", p));
  });
}

// Units of hidden layers: full cells have a slope on all data, crossed ones on none.
function drawUnits(f, host, w, h, when) {
  const list = html("div", "units", host);
  list.setAttribute("role", "img");
  list.setAttribute("aria-label", f.alt || "");
  if (f.key) html("div", "unit-key", list, f.key);
  f.groups.forEach((group, n) => {
    const row = html("div", "unit-row", list);
    html("span", "unit-name", row, group.name);
    const cells = html("span", "unit-cells", row);
    for (const share of group.alive) {
      const unit = html("span", share > 0 ? "unit" : "unit dead", cells);
      unit.style.setProperty("--share", share);
    }
    html("span", "unit-value", row, group.text);
    when(f.at + 0.5 * n, 0.8, p => { row.style.opacity = 0.15 + 0.85 * p; });
  });
}

const FIGURES = {
  lines: drawLines, table: drawTable, bars: drawBars, samples: drawSamples,
  chart: drawChart, layers: drawLayers, roads: drawRoads, factors: drawFactors,
  units: drawUnits, chain: drawChain,
};
