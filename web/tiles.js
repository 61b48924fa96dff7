// One tile a method, all alike: what its decoder draws, the class that the probe gives the code, and a number.

import { drawError, drawImage, el, errorBar, methodName, percent, picture, seen, swatch } from "./ui.js";

/** Tiles for a plain picture (with `first`, its name) and for every method. */
export class Tiles {
  constructor(data, { first = null, errors = false } = {}) {
    this.data = data;
    this.parts = new Map();
    this.element = el("div", { class: "tiles" });
    if (first) this.add(first, first, { plain: true });
    for (const method of data.methods) this.add(method.name, methodName(method), { errors });
  }

  /** `plain`: an image of its own, without a verdict. */
  add(name, label, { plain = false, errors = false }) {
    const canvas = picture(label);
    const error = errors ? picture(`error of ${label}`) : null;
    const [found, number] = [el("span", { class: "found", hidden: plain }), el("span", { class: "number" })];
    const head = el("span", { class: "name" }, label);
    const tile = el("figure", { class: "tile" }, el("div", { class: "pair" }, canvas, error), el("figcaption", {}, head, found, number));
    tile.dataset.method = name;
    this.element.append(tile);
    this.parts.set(name, { label, canvas, error, found, number });
  }

  /** Show an image, the probe's verdict and a number; `original` is what the error map compares with. */
  show(name, image, { verdict = null, number = "", truth = -1, original = null } = {}) {
    const { label, canvas, error, found, number: place } = this.parts.get(name);
    drawImage(canvas, this.data, image);
    if (error && original) drawError(error, this.data, image, original);
    const wrong = verdict !== null && truth >= 0 && verdict.label !== truth;
    found.replaceChildren(...(verdict ? [classChip(this.data, verdict.label), `, ${percent(verdict.probability)}${wrong ? ", wrong" : ""}`] : []));
    found.classList.toggle("wrong", wrong);
    place.textContent = number;
    const said = verdict ? `: ${this.data.classes[verdict.label]}, ${percent(verdict.probability)}` : "";
    canvas.setAttribute("aria-label", `${label}${said}${number ? `; ${number}` : ""}`);
  }
}

/** What the colours of error maps mean. */
export const errorLegend = () => el("p", { class: "legend" },
  el("span", { class: "scale" }, "Error of a pixel: 0 ", errorBar(), " 0.5 or more. MAE is its mean over the image; a pixel is from 0 to 1."));

/** A class by colour and name. */
export function classChip(data, label) {
  const chip = el("span", { class: "chip" }, swatch(data.colors[label]), data.classes[label]);
  chip.style.setProperty("--class", seen(data.colors[label]));
  return chip;
}

/** The chosen test image, its number and its class; `show(k)` takes another. */
export function chosenImage(data, sheet) {
  const [canvas, text] = [picture("the chosen image", "picture large"), el("p")];
  const made = el("div", { class: "subject" }, canvas, text);
  made.show = (k) => {
    const [name, label] = [`Test image ${data.index[k]}`, data.labels[k]];
    drawImage(canvas, data, sheet.image(k));
    canvas.setAttribute("aria-label", `${name}, ${data.classes[label]}`);
    text.replaceChildren(el("b", {}, name), el("br"), classChip(data, label));
  };
  return made;
}

/** A row of small test images that can be chosen, each under a line in the colour of its class. */
export function thumbnails(data, sheet, positions, choose, truth = -1) {
  return el("div", { class: "thumbnails" }, ...positions.map((k) => {
    const label = data.labels[k];
    const button = el("button", {
      type: "button", class: label === truth || truth < 0 ? "thumbnail" : "thumbnail other",
      title: `test image ${data.index[k]}: ${data.classes[label]}`,
      "aria-label": `test image ${data.index[k]}, ${data.classes[label]}`,
      onclick: () => choose(k),
    });
    button.style.setProperty("--class", seen(data.colors[label]));
    const canvas = el("canvas", { "aria-hidden": "true" });
    drawImage(canvas, data, sheet.image(k));
    button.append(canvas);
    return button;
  }));
}

/** A field for the number of a test image; `change` gets its position. */
export function imageField(data, text, k, change) {
  const hint = el("span", { class: "hint", role: "alert" });
  const input = el("input", { type: "number", min: "0", step: "1", class: "index", value: String(data.index[k]) });
  let shown = k;
  /** Of another number, the next of the map in the direction of the change. */
  const take = () => {
    const wanted = input.valueAsNumber;
    const up = wanted > data.index[shown];
    const [nearest] = data.index.filter((number) => (up ? number >= wanted : number <= wanted)).sort((a, b) => (up ? a - b : b - a));
    const found = data.position.get(nearest);
    if (found === undefined) {
      made.set(shown);
      const end = up ? Math.max(...data.index) : Math.min(...data.index);
      hint.textContent = Number.isNaN(wanted) ? "Give the number of a test image." : `The map's ${up ? "last" : "first"} test image is ${end}.`;
      return;
    }
    change(found);
    if (nearest !== wanted) hint.textContent = `Test image ${wanted} is not among the ${data.n.toLocaleString("en")} of the map; ${nearest} is the next.`;
  };
  input.addEventListener("change", take);
  const random = el("button", { type: "button", onclick: () => change(Math.floor(Math.random() * data.n)) }, "Random");
  const made = el("span", { class: "field" }, el("label", {}, `${text} `, input), random, hint);
  made.set = (next) => { shown = next; input.value = data.index[next]; hint.textContent = ""; };
  return made;
}
