// A scatter plot of thousands of points, drawn pixel by pixel: 60 frames a second without a graphics card.

import { isDark, rgb } from "./ui.js";

const NEAR = 14; // CSS pixels within which the pointer finds a point
const MARGIN = 0.06; // of the plot, around all points

/** The pixels of a disc in rows of `size`: how far each is from the middle one, and which share of it is covered. */
function discOf(radius, size) {
  const [steps, shares] = [[], []];
  const most = Math.ceil(radius);
  for (let dy = -most; dy <= most; dy++)
    for (let dx = -most; dx <= most; dx++) {
      const share = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
      if (share <= 0) continue;
      steps.push(dy * size + dx);
      shares.push(share);
    }
  return [Int32Array.from(steps), Float32Array.from(shares)];
}

/** A share of a colour 0xAABBGGRR over another. */
function mixed(under, over, share) {
  const alpha = under >>> 24;
  const own = Math.round(255 * share);
  if (alpha === 0) return ((over & 0xffffff) | (own << 24)) >>> 0;
  const channel = (shift) => {
    const from = (under >>> shift) & 255;
    return Math.round(from + (((over >>> shift) & 255) - from) * share) << shift;
  };
  return ((Math.max(alpha, own) << 24) | channel(16) | channel(8) | channel(0)) >>> 0;
}

export class Scatter {
  /** `on` has `point(k or -1)` for what is pointed at, `choose(k, { step })`, and `edge()`: no point
   * lies in an arrow's direction. `step`: not one of many in a row. */
  constructor(canvas, x, y, on) {
    Object.assign(this, { canvas, x, y, on, n: x.length });
    this.colors = new Uint32Array(this.n);
    this.shown = new Uint8Array(this.n).fill(1);
    this.rings = [];
    this.waiting = false;
    this.reset();
    this.listen();
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  reset() {
    const [left, right, top, bottom] = [Math.min(...this.x), Math.max(...this.x), Math.min(...this.y), Math.max(...this.y)];
    this.centre = [(left + right) / 2, (top + bottom) / 2];
    this.extent = (Math.max(right - left, bottom - top) || 1) * (1 + 2 * MARGIN);
    this.zoom = 1;
    this.draw();
  }

  fit() {
    const ratio = window.devicePixelRatio || 1;
    const size = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    if (this.canvas.width !== size) this.canvas.width = this.canvas.height = size;
    this.draw();
  }

  /** Pixels of the canvas for a unit of the points. */
  get scale() {
    return (this.canvas.width / this.extent) * this.zoom;
  }

  place(k) {
    const half = this.canvas.width / 2;
    return [half + (this.x[k] - this.centre[0]) * this.scale, half - (this.y[k] - this.centre[1]) * this.scale];
  }

  zoomBy(factor, [x, y] = this.centre) {
    const before = this.zoom;
    this.zoom = Math.max(1, Math.min(60, this.zoom * factor));
    const kept = before / this.zoom;
    this.centre = [x + (this.centre[0] - x) * kept, y + (this.centre[1] - y) * kept];
    this.draw();
  }

  /** Zoom with a point in the middle. */
  zoomOn(k, factor) {
    this.centre = [this.x[k], this.y[k]];
    this.zoomBy(factor);
  }

  /** Draw before the next frame, however often this is called until then. */
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.paint();
    });
  }

  paint() {
    const { canvas, n, colors, shown } = this;
    const size = canvas.width;
    const context = canvas.getContext("2d");
    if (this.image?.width !== size) this.image = context.createImageData(size, size);
    const pixels = new Uint32Array(this.image.data.buffer);
    pixels.fill(0);
    const ratio = window.devicePixelRatio || 1;
    const many = (5000 / Math.max(n, 500)) ** 0.4; // fewer points are larger
    const radius = Math.min(7, (canvas.clientWidth / 260) * many * this.zoom ** 0.35) * ratio;
    const [steps, shares] = discOf(radius, size);
    const edge = Math.ceil(radius);
    const { x, y, centre, scale } = this;
    for (let k = 0; k < n; k++) {
      if (!shown[k]) continue;
      const px = Math.round(size / 2 + (x[k] - centre[0]) * scale);
      const py = Math.round(size / 2 - (y[k] - centre[1]) * scale);
      if (px < edge || py < edge || px >= size - edge || py >= size - edge) continue;
      const middle = py * size + px;
      for (let j = 0; j < steps.length; j++) {
        const at = middle + steps[j];
        pixels[at] = shares[j] === 1 ? colors[k] : mixed(pixels[at], colors[k], shares[j]);
      }
    }
    context.putImageData(this.image, 0, 0);
    this.rings.forEach((k, number) => this.ring(context, k, (number ? 4 : 6) * ratio, ratio));
  }

  ring(context, k, radius, ratio) {
    const [px, py] = this.place(k);
    const [inner, outer] = isDark() ? ["#ffffff", "#000000"] : ["#000000", "#ffffff"];
    for (const [color, width] of [[outer, 4], [inner, 2]]) {
      context.beginPath();
      context.arc(px, py, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = width * ratio;
      context.stroke();
    }
  }

  /** Colours as text, one a point, and which points are shown. */
  paintWith(colors, shown) {
    const known = new Map();
    for (let k = 0; k < this.n; k++) {
      if (!known.has(colors[k])) {
        const [r, g, b] = rgb(colors[k]);
        known.set(colors[k], ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
      }
      this.colors[k] = known.get(colors[k]);
      this.shown[k] = shown(k) ? 1 : 0;
    }
    this.draw();
  }

  /** Rings round points: the first is pointed at or chosen. */
  mark(rings) {
    this.rings = rings;
    this.draw();
  }

  /** Mark a point that was chosen anywhere; one outside the picture becomes its middle. */
  reveal(k) {
    if (this.place(k).some((value) => value < 0 || value > this.canvas.width)) this.centre = [this.x[k], this.y[k]];
    this.mark([k]);
  }

  /** The place of a pointer in pixels of the canvas. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  /** The shown point nearest to a place for which `fits(dx, dy)` holds, or -1. */
  find([px, py], fits) {
    let [best, least] = [-1, Infinity];
    for (let k = 0; k < this.n; k++) {
      if (!this.shown[k]) continue;
      const [x, y] = this.place(k);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least && fits(x - px, y - py)) [best, least] = [k, distance];
    }
    return best;
  }

  pointed(event) {
    const near = (NEAR * this.canvas.width) / this.canvas.clientWidth;
    return this.find(this.at(event), (dx, dy) => dx * dx + dy * dy < near * near);
  }

  listen() {
    const { canvas } = this;
    let dragged = null;
    canvas.addEventListener("pointerdown", (event) => {
      dragged = { from: this.at(event), moved: false };
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (dragged && event.pointerType === "mouse") {
        const [x, y] = this.at(event);
        const [dx, dy] = [x - dragged.from[0], y - dragged.from[1]];
        if (!dragged.moved && Math.hypot(dx, dy) < 4) return;
        dragged = { from: [x, y], moved: true };
        this.centre = [this.centre[0] - dx / this.scale, this.centre[1] + dy / this.scale];
        this.draw();
      } else this.on.point(this.pointed(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      const found = dragged?.moved ? -1 : this.pointed(event);
      dragged = null;
      if (found >= 0) this.on.choose(found, { step: true });
    });
    canvas.addEventListener("pointerleave", () => this.on.point(-1));
    canvas.addEventListener("pointercancel", () => (dragged = null));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // the page scrolls; a touchpad's pinch comes with Ctrl
      event.preventDefault();
      const [px, py] = this.at(event);
      const half = canvas.width / 2;
      const under = [this.centre[0] + (px - half) / this.scale, this.centre[1] - (py - half) / this.scale];
      this.zoomBy(Math.exp(-event.deltaY / 300), under);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Arrows choose the nearest point in their direction; + zooms in on the marked one, - out; 0 shows all. */
  key(event) {
    const k = this.rings[0] ?? 0;
    const towards = {
      ArrowLeft: (dx, dy) => dx < 0 && -dx >= Math.abs(dy),
      ArrowRight: (dx, dy) => dx > 0 && dx >= Math.abs(dy),
      ArrowUp: (dx, dy) => dy < 0 && -dy >= Math.abs(dx),
      ArrowDown: (dx, dy) => dy > 0 && dy >= Math.abs(dx),
    }[event.key];
    if (towards) {
      const found = this.find(this.place(k), towards);
      if (found < 0) this.on.edge();
      else this.on.choose(found, { step: false });
    } else if (event.key === "+" || event.key === "=") this.zoomOn(k, 1.5);
    else if (event.key === "-") this.zoomBy(1 / 1.5);
    else if (event.key === "0") this.reset();
    else return;
    event.preventDefault();
  }
}
