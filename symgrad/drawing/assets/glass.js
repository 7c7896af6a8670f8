"use strict";
/* A pane over a drawing: drag to pan, wheel or pinch to zoom. */

const LEGEND = 70; // below the drawing, where there is one
const WHOLE = 0.1; // the least scale at which all of a drawing is shown

class Glass {
  /* `world` is the group that moves; `size` gives the drawing's [width, height], and
     `start` the point at which it is read first. */
  constructor(svg, world, size, start = () => [0, 0]) {
    Object.assign(this, { svg, world, size, start, x: 0, y: 0, k: 1, held: new Map() });
    svg.addEventListener("pointerdown", (e) => this.grab(e));
    svg.addEventListener("pointermove", (e) => this.drag(e));
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (e) => this.drop(e));
    svg.addEventListener("wheel", (e) => this.roll(e), { passive: false });
    document.getElementById("nearer").addEventListener("click", () => this.zoom(1.25));
    document.getElementById("farther").addEventListener("click", () => this.zoom(0.8));
    document.getElementById("fit").addEventListener("click", () => this.fit(WHOLE));
  }

  moved() {
    this.world.setAttribute("transform", `translate(${this.x},${this.y}) scale(${this.k})`);
  }

  /* Show all of the drawing, or its start where it would be smaller than `least`. */
  fit(least = 0.4) {
    const { width, height: whole } = this.svg.getBoundingClientRect();
    const [wide, high] = this.size();
    const height = whole - (document.getElementById("legend").hidden ? 0 : LEGEND);
    this.k = Math.min(Math.max(Math.min(width / wide, height / high), least), 1.1);
    const [x, y] = this.start();
    const at = (room, whole, point) => {
      const left = room - whole * this.k; // what is left of the room, if anything
      return left >= 0 ? left / 2 : Math.min(Math.max(point, left), 0);
    };
    this.x = at(width, wide, width / 2 - x * this.k);
    this.y = at(height, high, 70 - y * this.k);
    this.moved();
  }

  zoom(factor, x = this.svg.clientWidth / 2, y = this.svg.clientHeight / 2) {
    const k = Math.min(Math.max(this.k * factor, 0.03), 4);
    this.x = x - (x - this.x) * (k / this.k);
    this.y = y - (y - this.y) * (k / this.k);
    this.k = k;
    this.moved();
  }

  /* Move a point of the drawing into view, if it is not there. */
  bring(x, y) {
    const { width, height } = this.svg.getBoundingClientRect();
    const [left, top] = [x * this.k + this.x, y * this.k + this.y];
    if (left > 60 && top > 30 && left < width - 60 && top < height - 30) return;
    this.shift(width / 2 - left, height / 2 - top);
  }

  shift(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.moved();
  }

  grab(e) {
    if (e.target.closest(".node, .handle")) return;
    this.held.set(e.pointerId, [e.clientX, e.clientY]);
    this.svg.setPointerCapture(e.pointerId);
    this.svg.classList.add("held");
  }

  drag(e) {
    if (!this.held.has(e.pointerId)) return;
    const before = [...this.held.values()];
    const [x, y] = this.held.get(e.pointerId);
    this.held.set(e.pointerId, [e.clientX, e.clientY]);
    const [a, b] = this.held.values();
    if (!b) {
      this.shift(e.clientX - x, e.clientY - y);
      return;
    }
    const apart = ([p, q]) => Math.hypot(p[0] - q[0], p[1] - q[1]);
    const { left, top } = this.svg.getBoundingClientRect();
    this.zoom(apart([a, b]) / Math.max(apart(before), 1), (a[0] + b[0]) / 2 - left, (a[1] + b[1]) / 2 - top);
  }

  drop(e) {
    this.held.delete(e.pointerId);
    this.svg.classList.toggle("held", this.held.size > 0);
  }

  roll(e) {
    e.preventDefault();
    const { left, top } = this.svg.getBoundingClientRect();
    this.zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), e.clientX - left, e.clientY - top);
  }

  /* The keys + - and 0; true if it was one of them. */
  key(key) {
    if (key === "+" || key === "=") this.zoom(1.25);
    else if (key === "-") this.zoom(0.8);
    else if (key === "0") this.fit(WHOLE);
    else return false;
    return true;
  }
}

/* Light or dark: as the reader's system is, until the button is used. */
function themes(changed) {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    button.setAttribute("aria-pressed", String(name === "dark"));
    changed();
  };
  const system = () => set(dark.matches ? "dark" : "light");
  button.addEventListener("click", () => set(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", system);
  system();
}
