"use strict";
/* What is visible of a graph, some of its scopes folded, and where it lies. */

const MOST = 300; // boxes that are laid out at once
const SHARED = 5; // readers, near each other, of a leaf that is shown once
const STEP = 9; // from one of two lines side by side to the other

class Scene {
  constructor(graph, widthOf) {
    this.graph = graph;
    this.widthOf = widthOf;
    this.folded = new Set();
    this.children = new Map(graph.scopes.map((s) => [s.id, []]));
    this.inside = new Map(graph.scopes.map((s) => [s.id, []]));
    this.top = [];
    for (const s of graph.scopes) (s.parent === null ? this.top : this.children.get(s.parent)).push(s.id);
    this.own = new Map(graph.scopes.map((s) => [s.id, 0])); // nodes in no inner scope
    this.loose = 0; // and in none at all
    for (const n of graph.nodes) {
      for (const s of this.path(n)) this.inside.get(s).push(n.id);
      if (n.scope === null) this.loose++;
      else this.own.set(n.scope, this.own.get(n.scope) + 1);
    }
    this.users = graph.nodes.map(() => []);
    for (const e of graph.edges) this.users[e.a].push(e.b);
  }

  /* The scopes of a node, from the outermost in. */
  path(node) {
    const found = [];
    for (let s = node.scope; s !== null; s = this.graph.scopes[s].parent) found.unshift(s);
    return found;
  }

  keyOf(node) {
    const outer = this.path(node).find((s) => this.folded.has(s));
    return outer === undefined ? `n${node.id}` : `s${outer}`;
  }

  /* How many boxes are visible in a scope that is open. */
  parts(scope) {
    return this.own.get(scope) + this.children.get(scope).length;
  }

  /* How many boxes are visible. */
  get size() {
    let found = this.loose;
    const pending = [...this.top];
    while (pending.length) {
      const s = pending.pop();
      if (this.folded.has(s)) found++;
      else {
        found += this.own.get(s);
        pending.push(...this.children.get(s));
      }
    }
    return found;
  }

  /* Fold everything, then open scopes, the outer ones first, while it stays readable;
     repeated layers stay one box unless they are to be shown apart. Return false if
     some that were to be opened stay folded. */
  foldToRead(collapse, most, apart = false) {
    const all = this.graph.nodes.length;
    this.folded = new Set();
    if (all <= MOST && (collapse === null || (collapse === "auto" && all <= most))) return true;
    this.folded = new Set(this.graph.scopes.map((s) => s.id));
    if (collapse === "scope") return true;
    const room = collapse === null ? MOST : most;
    const levels = [this.top];
    let size = this.size;
    let whole = true;
    for (let k = 0; k < levels.length; k++) {
      const opening = levels[k].filter((s) => apart || this.graph.scopes[s].count === 1);
      // neighbours in groups look alike: either all of them are open, or none
      const groups = opening.filter((s) => this.graph.scopes[s].group);
      const together = groups.reduce((sum, s) => sum + this.parts(s) - 1, 0);
      for (const s of opening) {
        const more = this.parts(s) - 1;
        const wanted = groups.includes(s) ? together : more;
        if (size + wanted > room && !(groups.includes(s) && !this.folded.has(groups[0]))) {
          whole = false;
          continue;
        }
        size += more;
        this.folded.delete(s);
        if (this.graph.scopes[s].count === 1) levels.push(this.children.get(s));
      }
    }
    return whole;
  }

  /* Open a scope, if there is room for what is in it. */
  open(scope) {
    if (this.size + this.parts(scope) - 1 > MOST) return false;
    this.folded.delete(scope);
    return true;
  }

  reveal(node) {
    const closed = this.path(node).filter((s) => this.folded.has(s));
    const more = closed.reduce((sum, s) => sum + this.parts(s), 0);
    if (this.size + more > MOST) { // make room: nothing else stays open
      this.folded = new Set(this.graph.scopes.map((s) => s.id));
    }
    for (const s of this.path(node)) this.folded.delete(s);
    return closed.length > 0;
  }

  /* Boxes, frames and lines, with places. */
  layout(mode) {
    const g = new dagre.graphlib.Graph({ compound: true });
    g.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 40, edgesep: 14, marginx: 20, marginy: 20 });
    g.setDefaultEdgeLabel(() => ({}));
    const boxes = new Map();
    const frames = new Map();
    for (const n of this.graph.nodes) {
      const key = this.keyOf(n);
      if (boxes.has(key)) continue;
      const box = key[0] === "n" ? this.boxOf(n) : this.foldOf(+key.slice(1));
      boxes.set(key, box);
      // a loop's way back lies beside its box, and the box stays in the middle
      const beside = box.carries ? 2 * (this.widthOf(box.carries, 10) + 32) : 0;
      g.setNode(key, { width: box.width + beside, height: box.height });
      const around = this.path(n).filter((s) => !this.folded.has(s));
      const own = key[0] === "n" ? around : this.outerOf(+key.slice(1));
      if (own.length) g.setParent(key, `c${own.at(-1)}`);
      own.forEach((s, k) => {
        frames.set(`c${s}`, { key: `c${s}`, scope: s });
        g.setNode(`c${s}`, {});
        if (k) g.setParent(`c${s}`, `c${own[k - 1]}`);
      });
    }
    const lines = this.lines();
    this.marked = false; // is a leaf shown several times?
    this.repeat(lines, boxes, g);
    for (const line of lines.values()) {
      const text = this.textOf(line, mode);
      const wide = text ? this.widthOf(text, 10) + 14 : 0;
      const leaf = boxes.get(line.from).leaf;
      const enters = g.parent(line.from) !== g.parent(line.to);
      g.setEdge(line.from, line.to, {
        width: wide, height: text ? 15 : 0, labelpos: "r", labeloffset: 8,
        weight: leaf ? 1 : 40,
        minlen: enters && !leaf ? 2 : 1, // a frame begins below the one before
      });
    }
    dagre.layout(g);
    for (const [key, box] of boxes) {
      const { x, y } = g.node(key);
      Object.assign(box, { x, y });
    }
    for (const [key, frame] of frames) Object.assign(frame, g.node(key));
    for (const line of lines.values()) {
      const e = g.edge(line.from, line.to);
      Object.assign(line, { points: e.points, left: (e.x ?? e.points[0].x) - (e.width ?? 0) / 2 + 8, y: e.y ?? e.points[0].y, text: this.textOf(line, mode) });
    }
    const { width, height } = g.graph();
    return { boxes, frames: [...frames.values()], lines: [...lines.values()], width, height };
  }

  /* A leaf that many read, or some that are far apart, is shown beside each of them:
     lines across all of a graph are not read, nor laid out in time if it is large. */
  repeat(lines, boxes, g) {
    const from = new Map();
    for (const line of lines.values()) {
      if (!boxes.get(line.from).leaf) continue;
      if (!from.has(line.from)) from.set(line.from, []);
      from.get(line.from).push(line);
    }
    for (const [key, own] of from) {
      const groups = this.places(own);
      if (groups.length < 2) continue;
      this.marked = true;
      const box = boxes.get(key);
      box.detail = box.detail ? `${box.detail} · shared` : "shared";
      box.width = Math.max(box.width, this.widthOf(box.detail, 10.5) + 26);
      groups.forEach((lines, k) => {
        const copy = k ? { ...box, key: `${key}@${k}` } : box;
        boxes.set(copy.key, copy);
        g.setNode(copy.key, { width: box.width, height: box.height });
        const around = new Set(lines.map((line) => g.parent(line.to)));
        const [frame] = around;
        if (around.size === 1 && frame !== undefined) g.setParent(copy.key, frame);
        else g.setParent(copy.key);
        for (const line of lines) line.from = copy.key;
      });
    }
  }

  /* The lines from a leaf, those to readers that are near each other together. */
  places(lines) {
    const found = new Map();
    for (const line of lines) {
      const place = Math.min(...line.edges.map((e) => e.copy));
      if (!found.has(place)) found.set(place, []);
      found.get(place).push(line);
    }
    if (found.size < 2 && lines.length > SHARED) return lines.map((line) => [line]);
    return [...found.values()];
  }

  outerOf(scope) {
    const found = [];
    for (let s = this.graph.scopes[scope].parent; s !== null; s = this.graph.scopes[s].parent) found.unshift(s);
    return found;
  }

  boxOf(n) {
    const width = Math.max(this.widthOf(n.title, 12, true), this.widthOf(n.detail, 10.5)) + 26;
    const leaf = ["input", "param", "frozen", "constant"].includes(n.kind);
    return { key: `n${n.id}`, node: n, kind: n.kind, leaf, title: n.title, detail: n.detail, width, height: n.title && n.detail ? 40 : 27, copies: n.carries ? 2 : 1, carries: n.carries };
  }

  foldOf(id) {
    const s = this.graph.scopes[id];
    const nodes = this.inside.get(id);
    const params = nodes.filter((n) => this.graph.nodes[n].kind === "param").length;
    const frozen = nodes.filter((n) => this.graph.nodes[n].kind === "frozen").length;
    const parts = [`${nodes.length} nodes`];
    const scopes = this.children.get(id).length;
    if (s.group && scopes) parts.unshift(`${scopes} parts`);
    if (params) parts.push(`${params} parameter${params > 1 ? "s" : ""}`);
    if (frozen) parts.push(`${frozen} frozen`);
    const detail = parts.join(" · ");
    const title = s.count > 1 ? `${s.name}  × ${s.count}` : s.name;
    const width = Math.max(this.widthOf(title, 12, true), this.widthOf(detail, 10.5)) + 40;
    return { key: `s${id}`, scope: id, kind: "fold", leaf: false, title, detail, width, height: 44, copies: s.count };
  }

  /* Edges between what is visible; several that fall together are one. */
  lines() {
    const found = new Map();
    for (const e of this.graph.edges) {
      const from = this.keyOf(this.graph.nodes[e.a]);
      const to = this.keyOf(this.graph.nodes[e.b]);
      if (from === to) continue;
      const key = `${from}>${to}`;
      if (!found.has(key)) found.set(key, { from, to, edges: [] });
      found.get(key).edges.push(e);
    }
    for (const line of found.values()) {
      const sizes = line.edges.map((e) => e.norm).filter((v) => v !== null && v !== undefined);
      line.norm = sizes.length ? Math.hypot(...sizes) : null;
      line.live = line.edges.some((e) => e.live);
    }
    return found;
  }

  textOf(line, mode) {
    const [first, ...others] = line.edges;
    if (mode === "flow") return line.norm === null ? "" : short(line.norm);
    if (others.length) return "";
    return mode === "gradient" && first.local ? first.local : first.shape;
  }
}

/* A number with two digits, small and large ones with a power of ten. */
function short(v) {
  if (typeof v === "string") return v;
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : "∞";
  if (v === 0) return "0";
  if (v >= 0.01 && v < 1e4) return v < 100 ? String(+v.toPrecision(2)) : v.toFixed(0);
  const [digits, power] = v.toExponential(1).split("e");
  const raised = String(+power).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${digits}·10${raised}`;
}

/* A smooth path through points, moved sideways. */
function curve(points, shift) {
  const p = points.map(({ x, y }) => [x + shift, y]);
  let d = `M${p[0]}`;
  if (p.length < 3) return `${d}L${p.at(-1)}`;
  for (let k = 1; k < p.length - 1; k++) {
    const last = k === p.length - 2;
    const end = last ? p[k + 1] : [(p[k][0] + p[k + 1][0]) / 2, (p[k][1] + p[k + 1][1]) / 2];
    d += `Q${p[k]} ${end}`;
  }
  return d;
}
