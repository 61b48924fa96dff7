// Small parts of the page: elements, colours that are seen on either ground, pictures, fields.

/** An element with attributes, listeners (`onclick`) and children. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
export const isDark = () => dark.matches;
export const onTheme = (listener) => dark.addEventListener("change", listener);

/** "#rrggbb" -> [r, g, b], 0 to 255. */
export const rgb = (color) => [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
const hex = (values) => `#${values.map((value) => Math.round(value).toString(16).padStart(2, "0")).join("")}`;
export const blend = (a, b, t) => hex(rgb(a).map((value, k) => value + (rgb(b)[k] - value) * t));

function luminance(color) {
  const [r, g, b] = rgb(color).map((value) => (value <= 10 ? value / 3295 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** A colour of the palette; on a dark ground black becomes white, and others lighter until they stand out 3 to 1. */
export function seen(color) {
  if (isDark() && color === "#000000") return "#f2f4f7";
  let made = color;
  for (let t = 0.05; isDark() && luminance(made) < 0.125 && t < 1; t += 0.05) made = blend(color, "#ffffff", t);
  return made;
}

/** Errors from 0 to 1 in one hue, from faint to strong on either ground. */
export const ramp = (t) => {
  const stops = isDark() ? ["#5b6578", "#d08a3c", "#fff3c4"] : ["#b9c1cf", "#d9862b", "#5a1a00"];
  const at = Math.max(0, Math.min(1, t)) * 2;
  return at < 1 ? blend(stops[0], stops[1], at) : blend(stops[1], stops[2], at - 1);
};

/** A small square in a colour. */
export function swatch(color) {
  const made = el("span", { class: "swatch" });
  made.style.background = seen(color);
  return made;
}

/** A bar in the colours of errors, from none to the largest. */
export function errorBar() {
  const parts = Array.from({ length: 24 }, (_, k) => {
    const part = el("i");
    part.style.background = ramp(k / 23);
    return part;
  });
  return el("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

export const methodName = (method) => `${method.label}${method.seesLabels ? "†" : ""}`;

/** A method at the head of a row. */
export const methodHead = (method) => el("th", { scope: "row" }, methodName(method));
export const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

/** Fill a canvas pixel by pixel: `color(p)` is [r, g, b], 0 to 255, of the pixel at position p. */
function paint(canvas, { width, height }, color) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const made = context.createImageData(width, height);
  for (let p = 0; p < width * height; p++) made.data.set([...color(p), 255], 4 * p);
  context.putImageData(made, 0, 0);
}

/** Draw an image float32 [c * h * w] in [0, 1] on a canvas. */
export function drawImage(canvas, data, image) {
  const size = data.width * data.height;
  paint(canvas, data, (p) => [0, 1, 2].map((c) => Math.round(255 * image[(data.channels === 1 ? 0 : c) * size + p])));
}

/** Draw the absolute error of each pixel, mean over the colours, from 0 to 0.5. */
export function drawError(canvas, data, image, other) {
  const size = data.width * data.height;
  paint(canvas, data, (p) => {
    let error = 0;
    for (let c = 0; c < data.channels; c++) error += Math.abs(image[c * size + p] - other[c * size + p]) / data.channels;
    return rgb(ramp(2 * error));
  });
}

export function picture(label, className = "picture") {
  return el("canvas", { class: className, role: "img", "aria-label": label, width: 28, height: 28 });
}

/** A labelled drop-down of [value, text] pairs. */
export function choice(text, pairs, value, change) {
  const select = el("select", { onchange: () => change(select.value) });
  for (const [key, name] of pairs) select.append(el("option", { value: key }, name));
  select.value = value;
  const made = el("label", {}, `${text} `, select);
  made.set = (next) => { select.value = next; };
  return made;
}

/** A labelled slider; `show(value)` is the text behind it. `change` is called while it moves. */
export function slider(text, { min, max, step, value, show }, change) {
  const output = el("output", {}, show(value));
  const input = el("input", {
    type: "range", min: String(min), max: String(max), step: String(step),
    oninput: () => { output.value = show(input.valueAsNumber); change(input.valueAsNumber); },
  });
  input.value = value;
  const made = el("label", { class: "slider" }, el("span", {}, text), input, output);
  made.set = (next) => { input.value = next; output.value = show(Number(next)); };
  return made;
}

let tasks = 0;

/** While a task is under way, the view says that it is busy. */
export async function busy(task) {
  const view = document.getElementById("view");
  tasks += 1;
  view.setAttribute("aria-busy", "true");
  try {
    return await task();
  } finally {
    tasks -= 1;
    view.setAttribute("aria-busy", String(tasks > 0));
  }
}

/** Of calls while one is under way, only the last is made, after it. */
export function latest(task) {
  let [running, waiting] = [null, null];
  return (...given) => {
    waiting = given;
    running ??= busy(async () => {
      try {
        while (waiting) {
          const now = waiting;
          waiting = null;
          await task(...now);
        }
      } finally {
        running = null;
      }
    });
    return running;
  };
}

/** Tell a reader of the screen. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
