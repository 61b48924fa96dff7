// Walk: codes that belong to no image, drawn by every method: between two codes, along principal directions, a - b + c.

import { between } from "./codes.js";
import { classify, decode } from "./models.js";
import { imageField, Tiles } from "./tiles.js";
import { busy, choice, drawImage, el, latest, picture, say, seen, slider } from "./ui.js";

const STEPS = 32; // of the ribbon of classes, from one end to the other
const DIRECTIONS = 6;
const TRIES = 300; // pairs in a search for a third class
const MODES = { line: "between two", directions: "along principal directions", sum: "a − b + c" };
const TIMES = Array.from({ length: STEPS + 1 }, (_, k) => k / STEPS);

export async function walk(root, data, state) {
  const sheet = await data.sheet();
  let mode = state.get("mode", "line") in MODES ? state.get("mode", "line") : "line";
  let t = state.number("t", 0.5, 0, 1);
  let spherical = state.get("path") === "spherical";
  let method = data.methods.some(({ name }) => name === "contrastive") ? "contrastive" : data.methods[0].name;
  const steps = Array.from({ length: DIRECTIONS }, (_, j) => state.number(`d${j + 1}`, 0, -3, 3));
  // an end is an image, or with `average` the average code of a class
  const ends = ["a", "b", "c"].map((name, number) => read(name, number));

  function read(name, number) {
    const average = /^class(\d+)$/.exec(state.get(name, ""))?.[1];
    if (average !== undefined && Number(average) < data.classes.length) return { average: Number(average), k: 0 };
    const other = data.labels.findIndex((label) => label !== data.labels[state.image()]);
    return { average: -1, k: state.image(name, number === 0 ? state.image() : Math.max(0, other)) };
  }

  const tiles = new Tiles(data, { first: "Pixels" });
  const ribbons = new Map();
  for (const [name, { canvas }] of tiles.parts) {
    const ribbon = el("canvas", { class: "ribbon", role: "img", width: STEPS + 1, height: 1, "aria-label": "classes along the way" });
    if (name !== "Pixels") canvas.closest("figure").append(ribbon);
    ribbons.set(name, ribbon);
  }

  const codeOf = (codes, { average, k }) => (average >= 0 ? codes.averages[average] : codes.of(k));
  const nameOf = ({ average, k }) => (average >= 0 ? `average of ${data.classes[average]}` : `test image ${data.index[k]} (${data.classes[data.labels[k]]})`);

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

  const update = latest(async () => {
    const [a, b, c] = ends.map(pixelsOf);
    const pixels = { line: (v, p) => (1 - t) * v + t * b[p], sum: (v, p) => Math.max(0, Math.min(1, v - b[p] + c[p])), directions: (v) => v }[mode];
    tiles.show("Pixels", a.map(pixels), { number: { line: "cross-fade", sum: "pixels, cut to [0, 1]", directions: "the start" }[mode] });
    for (const one of data.methods) {
      const code = combined(await one.codes());
      const [image, [verdict]] = [await decode(one, code), await classify(one, code)];
      tiles.show(one.name, image, { verdict });
    }
  });

  /** The probe's classes from one end to the other, by every method. */
  const classesAlong = latest(async () => {
    for (const one of data.methods) {
      const codes = await one.codes();
      const [a, b] = [codeOf(codes, ends[0]), codeOf(codes, ends[1])];
      const labels = (await classify(one, joined(TIMES.map((time) => between(a, b, time, spherical))))).map(({ label }) => label);
      const ribbon = ribbons.get(one.name);
      const context = ribbon.getContext("2d");
      labels.forEach((label, x) => { context.fillStyle = seen(data.colors[label]); context.fillRect(x, 0, 1, 1); });
      const passed = labels.filter((label, x) => label !== labels[x - 1]).map((label) => data.classes[label]);
      ribbon.setAttribute("aria-label", `classes along the way: ${passed.join(", then ")}`);
      ribbon.title = passed.join(" → ");
    }
  });

  function changed({ whole = true } = {}) {
    const values = { mode: mode === "line" ? null : mode, t: mode === "line" ? t : null, path: spherical && mode === "line" ? "spherical" : null, image: data.index[ends[0].k] };
    ["a", "b", "c"].forEach((name, number) => {
      const { average, k } = ends[number];
      values[name] = average >= 0 ? `class${average}` : data.index[k];
    });
    steps.forEach((value, j) => { values[`d${j + 1}`] = mode === "directions" && value ? value : null; });
    state.set(values);
    for (const ribbon of ribbons.values()) ribbon.hidden = mode !== "line";
    return Promise.all([update(), whole && mode === "line" ? classesAlong() : null]);
  }

  /** Two rightly classified images between which the code passes through a third class. */
  async function third() {
    const one = data.methods.find(({ name }) => name === method);
    const codes = await one.codes();
    const right = data.labels.flatMap((label, k) => (one.predicted[k] === label ? [k] : []));
    for (let tried = 0; right.length > 1 && tried < TRIES; tried++) {
      const [a, b] = [0, 0].map(() => right[Math.floor(Math.random() * right.length)]);
      if (data.labels[a] === data.labels[b]) continue;
      const way = await classify(one, joined(TIMES.map((time) => between(codes.of(a), codes.of(b), time, spherical))));
      const apart = way.findIndex(({ label }) => label !== data.labels[a] && label !== data.labels[b]);
      if (apart < 0) continue;
      const last = way.findLastIndex(({ label }) => label === way[apart].label);
      t = (TIMES[apart] + TIMES[last]) / 2;
      ends[0] = { average: -1, k: a };
      ends[1] = { average: -1, k: b };
      along.set(t);
      drawEnds();
      said.textContent = `${one.label} passes through ${data.classes[way[apart].label]} between ${data.classes[data.labels[a]]} and ${data.classes[data.labels[b]]}.`;
      say(said.textContent);
      return changed();
    }
    said.textContent = `Among ${TRIES} random pairs ${one.label} passed through no third class.`;
    return say(said.textContent);
  }

  // -- the controls

  function endControls(number, text) {
    const end = ends[number];
    const canvas = picture(nameOf(end), "picture small");
    drawImage(canvas, data, pixelsOf(end));
    const kinds = [["-1", "an image"], ...data.classes.map((name, label) => [String(label), `average of ${name}`])];
    const take = (next) => { ends[number] = next; drawEnds(); return changed(); };
    const field = end.average < 0 ? imageField(data, "Test image", end.k, (k) => take({ average: -1, k })) : null;
    return el("fieldset", { class: "end" }, el("legend", {}, text), canvas,
      el("div", {}, choice("Take", kinds, String(end.average), (value) => take({ ...end, average: Number(value) })), field));
  }

  const drawn = el("div", { class: "ends" });
  function drawEnds() {
    const names = { line: ["From", "To"], directions: ["Start"], sum: ["a", "b", "c"] }[mode];
    drawn.replaceChildren(...names.map((text, number) => endControls(number, text)));
  }

  const fixed = (value) => value.toFixed(2);
  const along = slider("Way from the first to the second", { min: 0, max: 1, step: 0.01, value: t, show: fixed }, (value) => { t = value; changed({ whole: false }); });
  const said = el("p", { class: "hint" });
  const search = el("div", { class: "controls" },
    choice("Path", [["line", "straight line"], ["spherical", "spherical"]], spherical ? "spherical" : "line", (value) => { spherical = value === "spherical"; changed(); }),
    el("span", { class: "field", role: "group", "aria-label": "Find a pair" },
      choice("Find a pair between which", data.methods.map(({ name, label }) => [name, label]), method, (value) => { method = value; }),
      el("button", { type: "button", onclick: () => busy(third) }, "passes through a third class")));
  const directions = el("div", { class: "sliders" }, ...steps.map((value, j) =>
    slider(`Direction ${j + 1}`, { min: -3, max: 3, step: 0.1, value, show: (now) => `${now >= 0 ? "+" : "−"}${Math.abs(now).toFixed(1)}` }, (now) => { steps[j] = now; changed(); })));
  const reset = el("button", { type: "button", onclick: () => { steps.fill(0); [...directions.children].forEach((one) => one.set?.(0)); changed(); } }, "Back to the start");
  directions.append(reset);

  function showMode() {
    [along.hidden, search.hidden, said.hidden] = [mode !== "line", mode !== "line", mode !== "line"];
    directions.hidden = mode !== "directions";
    about.textContent = {
      line: "The slider leads from one image's code to another's; every method draws the codes on the way, beside a cross-fade of the pixels. The strip below a drawing has the colours of the classes that the probe sees on the whole way.",
      directions: "A principal direction is one along which a method's codes differ most. Each slider moves the code that many standard deviations along it, in every method's own directions: what changes in the drawing is what the direction stands for.",
      sum: "Arithmetic on codes: take away what b has, and add what c has. With averages of classes the result shows whether a method's classes lie in parallel.",
    }[mode];
  }

  const about = el("p", { class: "about" });
  root.append(
    el("h2", {}, "Walk"), about,
    el("div", { class: "controls" }, choice("Codes to draw:", Object.entries(MODES), mode, (value) => { mode = value; showMode(); drawEnds(); changed(); })),
    drawn, along, search, directions, said, tiles.element,
    el("p", { class: "hint" }, "A spherical path turns about the average code. Classes are those of a linear probe on the code, not on the drawing."),
  );
  showMode();
  drawEnds();
  await changed();
}

function joined(codes) {
  const d = codes[0].length;
  const all = new Float32Array(codes.length * d);
  codes.forEach((code, k) => all.set(code, k * d));
  return all;
}
