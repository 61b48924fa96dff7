// Walk: codes that belong to no image, drawn by every method: between two codes, along principal directions, a - b + c.

import { between } from "./codes.js";
import { classify, decode } from "./models.js";
import { classChip, imageField, Tiles } from "./tiles.js";
import { busy, choice, drawImage, el, latest, picture, say, seen, slider } from "./ui.js";

const STEPS = 32; // of the strip of classes, from one end to the other
const DIRECTIONS = 6;
const TRIES = 300; // pairs in a search for a third class
const MODES = { line: "between two", directions: "along principal directions", sum: "a − b + c" };
const ABOUT = {
  line: "The slider leads from one image's code to another's; every method draws the codes on the way, beside a cross-fade of the pixels. The strip below a drawing has the colours of the classes that the probe sees on the whole way.",
  directions: "A principal direction is one along which a method's codes differ most. Each slider moves the code that many standard deviations along it, in every method's own directions, which differ from method to method: what changes in the drawing is what the direction stands for.",
  sum: "Arithmetic on codes: take away what b has, and add what c has. With averages of classes, it shows whether the way from one class to another is the same elsewhere.",
};
const ENDS = { line: ["From", "To"], directions: ["Start"], sum: ["a", "b", "c"] };
const TIMES = Array.from({ length: STEPS + 1 }, (_, k) => k / STEPS);

export async function walk(root, data, state) {
  const sheet = await data.sheet();
  let mode = Object.hasOwn(MODES, state.get("mode", "")) ? state.get("mode") : "line";
  let t = state.number("t", 0.5, 0, 1);
  let spherical = state.get("path") === "spherical";
  let method = data.methods.some(({ name }) => name === "contrastive") ? "contrastive" : data.methods[0].name;
  const steps = Array.from({ length: DIRECTIONS }, (_, j) => state.number(`d${j + 1}`, 0, -3, 3));
  // an end is an image, or with `average` the average code of a class; without another word, images of three classes
  const start = state.image();
  const others = [...data.classes.keys()].map((label) => data.labels.indexOf(label)).filter((k) => k >= 0 && data.labels[k] !== data.labels[start]);
  const ends = ["a", "b", "c"].map((name, number) => read(name, [start, ...others][number] ?? start));

  function read(name, otherwise) {
    const average = Number(/^class(\d+)$/.exec(state.get(name, ""))?.[1] ?? -1);
    return average >= 0 && average < data.classes.length ? { average, k: otherwise } : { average: -1, k: state.image(name, otherwise) };
  }

  const tiles = new Tiles(data, { first: "Pixels" });
  const [strips, tracks, marks] = [new Map(), [], []]; // the classes on the way, and where the slider is among them
  for (const { name } of data.methods) {
    const strip = el("canvas", { class: "strip", role: "img", width: STEPS + 1, height: 1, "aria-label": "classes on the way" });
    const mark = el("i", { class: "mark" });
    const track = el("div", { class: "track" }, strip, mark);
    tiles.parts.get(name).canvas.closest("figure").append(track);
    strips.set(name, strip);
    tracks.push(track);
    marks.push(mark);
  }

  const codeOf = (codes, { average, k }) => (average >= 0 ? codes.averages[average] : codes.of(k));
  const nameOf = ({ average, k }) => (average >= 0 ? `average of ${data.classes[average]}` : `test image ${data.index[k]}, ${data.classes[data.labels[k]]}`);

  /** The pixels of an end: of a class, the average of its images on the map. */
  const averages = new Map();
  function pixelsOf({ average, k }) {
    if (average < 0) return sheet.image(k);
    if (!averages.has(average)) {
      const members = data.labels.flatMap((label, j) => (label === average ? [j] : []));
      const sum = new Float32Array(data.pixels);
      for (const j of members) sheet.image(j).forEach((value, p) => { sum[p] += value / members.length; });
      averages.set(average, sum);
    }
    return averages.get(average);
  }

  function combined(codes) {
    const [a, b, c] = ends.map((end) => codeOf(codes, end));
    if (mode === "line") return between(a, b, t, spherical);
    if (mode === "sum") return a.map((value, j) => value - b[j] + c[j]);
    return a.map((value, j) => value + (j < DIRECTIONS ? steps[j] * codes.spread[j] : 0));
  }

  function combinedPixels() {
    const [a, b, c] = ends.map(pixelsOf);
    if (mode === "line") return [a.map((value, p) => (1 - t) * value + t * b[p]), "cross-fade"];
    if (mode === "sum") return [a.map((value, p) => Math.max(0, Math.min(1, value - b[p] + c[p]))), "pixels, cut to [0, 1]"];
    return [a, "the start"];
  }

  const update = latest(async () => {
    const [pixels, number] = combinedPixels();
    tiles.show("Pixels", pixels, { number });
    // where the code is that of an image, its class is known
    const end = { line: { 0: ends[0], 1: ends[1] }[t], directions: steps.every((value) => value === 0) && ends[0] }[mode];
    const truth = end && end.average < 0 ? data.labels[end.k] : -1;
    for (const mark of marks) mark.style.left = `${100 * t}%`;
    for (const one of data.methods) {
      const code = combined(await one.codes());
      const [image, [verdict]] = [await decode(one, code), await classify(one, code)];
      tiles.show(one.name, image, { verdict, truth });
    }
  });

  /** The probe's classes from one code to another. */
  function classesBetween(one, a, b) {
    const codes = new Float32Array(TIMES.length * a.length);
    TIMES.forEach((time, step) => codes.set(between(a, b, time, spherical), step * a.length));
    return classify(one, codes).then((found) => found.map(({ label }) => label));
  }

  const drawStrips = latest(async () => {
    for (const one of data.methods) {
      const codes = await one.codes();
      const labels = await classesBetween(one, codeOf(codes, ends[0]), codeOf(codes, ends[1]));
      const strip = strips.get(one.name);
      const context = strip.getContext("2d");
      labels.forEach((label, x) => { context.fillStyle = seen(data.colors[label]); context.fillRect(x, 0, 1, 1); });
      const passed = labels.filter((label, x) => label !== labels[x - 1]).map((label) => data.classes[label]);
      strip.setAttribute("aria-label", `classes on the way: ${passed.join(", then ")}`);
      strip.title = passed.join(" → ");
    }
  });

  /**
   * Draw, and keep all in the address; if `whole`, when more than t has changed, the strips and what was found too.
   * With `step`, the browser's Back undoes the change.
   */
  function changed({ whole = true, found = "", step = false } = {}) {
    if (whole) tell(found);
    const values = { image: data.index[ends[0].k], mode: null, t: null, path: null };
    if (mode === "line") Object.assign(values, { t, path: spherical ? "spherical" : null });
    else values.mode = mode;
    ["a", "b", "c"].forEach((name, number) => {
      const { average, k } = ends[number];
      values[name] = average >= 0 ? `class${average}` : data.index[k];
    });
    steps.forEach((value, j) => { values[`d${j + 1}`] = mode === "directions" && value ? value : null; });
    state.set(values, { step });
    return Promise.all([update(), whole && mode === "line" ? drawStrips() : null]);
  }

  /** Two correctly classified images between which the code passes through a third class. */
  async function third() {
    const one = data.methods.find(({ name }) => name === method);
    const codes = await one.codes();
    const right = [...data.labels.keys()].filter((k) => one.predicted[k] === data.labels[k]);
    for (let tried = 0; right.length > 1 && tried < TRIES; tried++) {
      const [a, b] = [0, 0].map(() => right[Math.floor(Math.random() * right.length)]);
      const known = [data.labels[a], data.labels[b]];
      if (known[0] === known[1]) continue;
      const labels = await classesBetween(one, codes.of(a), codes.of(b));
      const first = labels.findIndex((label) => !known.includes(label));
      if (first < 0) continue;
      t = Math.round(50 * (TIMES[first] + TIMES[labels.lastIndexOf(labels[first])])) / 100;
      ends[0] = { average: -1, k: a };
      ends[1] = { average: -1, k: b };
      along.set(t);
      for (const end of controls.children) end.update();
      const [from, to] = [a, b].map((k) => `${data.classes[data.labels[k]]} (test image ${data.index[k]})`);
      await changed({ found: `${one.label} passes through ${data.classes[labels[first]]}, at ${t.toFixed(2)}, between ${from} and ${to}.`, step: true });
      return strips.get(method).closest("figure").scrollIntoView({ block: "nearest" });
    }
    return tell(`Among ${TRIES} random pairs ${one.label} passed through no third class.`);
  }

  // -- the controls

  /** The controls of an end; `update()` brings them up to date. */
  function endControls(text, number) {
    const [canvas, name] = [picture(text, "picture small"), el("span")];
    const kinds = [["-1", "an image"], ...data.classes.map((name, label) => [String(label), `average of ${name}`])];
    const take = (next) => { ends[number] = next; made.update(); return changed({ step: true }); };
    const kind = choice("Take", kinds, "-1", (value) => take({ ...ends[number], average: Number(value) }));
    const field = imageField(data, "Test image", ends[number].k, (k) => take({ average: -1, k }));
    const made = el("fieldset", { class: "end" }, el("legend", {}, text), canvas, el("div", {}, kind, field, name));
    made.update = () => {
      const end = ends[number];
      drawImage(canvas, data, pixelsOf(end));
      canvas.setAttribute("aria-label", nameOf(end));
      name.replaceChildren(...(end.average < 0 ? [classChip(data, data.labels[end.k])] : []));
      kind.set(end.average);
      field.hidden = end.average >= 0;
      field.set(end.k);
    };
    made.update();
    return made;
  }

  const tell = (text) => { told.textContent = text; say(text); };
  const [about, controls, told] = [el("p", { class: "about" }), el("div", { class: "ends" }), el("p", { class: "hint" })];
  const along = slider("Way from the first to the second", { min: 0, max: 1, step: 0.01, value: t, show: (value) => value.toFixed(2) }, (value) => { t = value; changed({ whole: false }); });
  const search = el("div", { class: "controls" },
    choice("Path", [["line", "straight line"], ["spherical", "arc around the average code"]], spherical ? "spherical" : "line", (value) => { spherical = value === "spherical"; changed(); }),
    el("span", { class: "field", role: "group", "aria-label": "Find a pair" },
      el("button", { type: "button", onclick: () => busy(third) }, "Find two images with a third class between"),
      choice("by", data.methods.map(({ name, label }) => [name, label]), method, (value) => { method = value; tell(""); })));
  const signed = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`;
  const sliders = steps.map((value, j) => slider(`Direction ${j + 1}`, { min: -3, max: 3, step: 0.1, value, show: signed }, (now) => { steps[j] = now; changed(); }));
  const reset = el("button", { type: "button", onclick: () => { steps.fill(0); for (const one of sliders) one.set(0); changed(); } }, "Back to the start");
  const directions = el("div", { class: "sliders" }, ...sliders, reset);
  const key = el("p", { class: "legend" }, "Classes in the strips: ", ...data.classes.map((_, label) => classChip(data, label)));

  function showMode() {
    about.textContent = ABOUT[mode];
    for (const part of [along, search, told, key, ...tracks]) part.hidden = mode !== "line";
    directions.hidden = mode !== "directions";
    controls.replaceChildren(...ENDS[mode].map(endControls));
  }

  root.append(
    el("h2", {}, "Walk"), about,
    el("div", { class: "controls" }, choice("Codes to draw:", Object.entries(MODES), mode, (value) => { mode = value; showMode(); changed({ step: true }); })),
    controls, along, search, directions, told, tiles.element, key,
    el("p", { class: "hint" }, "Classes are those of a linear probe on the code, not on the drawing."),
  );
  showMode();
  await changed();
}
