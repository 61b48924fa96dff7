// The map: the t-SNE of every method side by side; one image is chosen in all of them.

import { nearest } from "./codes.js";
import { Scatter } from "./scatter.js";
import { chosenImage, classChip, imageField, thumbnails } from "./tiles.js";
import { blend, choice, drawImage, el, errorBar, isDark, latest, methodHead, methodName, picture, ramp, say, seen, swatch } from "./ui.js";

const NEIGHBOURS = 10;
const COLOURS = { class: "by class", probe: "by whether the probe is right", error: "by reconstruction error" };
const WRONG = "#d55e00";
const right = () => blend("#0072b2", isDark() ? "#6b7280" : "#b6bcc6", 0.45);

export async function map(root, data, state) {
  let chosen = state.image();
  let colour = Object.hasOwn(COLOURS, state.get("colour", "")) ? state.get("colour") : "class";
  let only = state.number("class", -1, 0, data.classes.length - 1);
  const sheet = await data.sheet();
  const worst = Math.max(...data.methods.flatMap((method) => method.errors));

  const plots = data.methods.map((method) => {
    const canvas = el("canvas", {
      tabindex: "0", role: "application",
      "aria-label": `t-SNE of ${method.label}: arrow keys move to the next image, plus and minus zoom, 0 shows all`,
    });
    const thumb = el("div", { class: "pointed", hidden: true }, picture("the image pointed at"), el("span"));
    const facts = `T ${method.trustworthiness}, probe ${method.accuracy}\u00a0%`;
    const figure = el("figure", { class: "plot" },
      el("figcaption", {}, el("span", { class: "name" }, methodName(method)), el("span", { class: "number" }, facts)),
      el("div", { class: "frame" }, canvas, thumb));
    const plot = { method, canvas, thumb, figure };
    plot.scatter = new Scatter(canvas, method.x, method.y, {
      point: (k) => point(k, plot),
      choose,
      edge: () => say("No further image in this direction."),
    });
    return plot;
  });

  /** Light up what is pointed at in all maps, and show it beside the pointer's map. */
  function point(k, plot) {
    const rings = k < 0 || k === chosen ? [chosen] : [k, chosen];
    for (const { scatter, thumb } of plots) {
      if (scatter.rings.join() !== rings.join()) scatter.mark(rings);
      thumb.hidden = true;
    }
    if (k < 0) return;
    const ratio = window.devicePixelRatio || 1;
    const [x, y] = plot.scatter.place(k).map((value) => value / ratio);
    const width = plot.canvas.clientWidth;
    drawImage(plot.thumb.firstChild, data, sheet.image(k));
    plot.thumb.lastChild.textContent = data.index[k];
    plot.thumb.style.left = `${x > width / 2 ? x - 74 : x + 18}px`;
    plot.thumb.style.top = `${y > width / 2 ? y - 90 : y + 18}px`;
    plot.thumb.hidden = false;
  }

  /** `step`: the browser's Back leads to the image before. */
  function choose(k, { step = true } = {}) {
    chosen = k;
    state.set({ image: data.index[k] }, { step });
    field.set(k);
    for (const { scatter } of plots) scatter.reveal(k);
    const says = data.methods.map((method) => `${method.label}: ${data.classes[method.predicted[k]]}`).join(", ");
    say(`Test image ${data.index[k]}, ${data.classes[data.labels[k]]}. Probes: ${says}.`);
    return neighbours();
  }

  /** Paint the points, and say what their colours mean. */
  function colours() {
    const color = {
      class: (_, k) => seen(data.colors[data.labels[k]]),
      probe: (method, k) => seen(method.predicted[k] === data.labels[k] ? right() : WRONG),
      error: (method, k) => ramp(Math.round((32 * method.errors[k]) / worst) / 32),
    }[colour];
    for (const { method, scatter } of plots)
      scatter.paintWith(data.labels.map((_, k) => color(method, k)), (k) => only < 0 || data.labels[k] === only);
    scale.hidden = colour === "class";
    scale.replaceChildren(...{
      class: [],
      probe: [swatch(right()), "probe is right ", swatch(WRONG), "probe is wrong"],
      error: ["0 ", errorBar(), ` ${worst.toFixed(2)} mean absolute error`],
    }[colour]);
    key.classList.toggle("plain", colour !== "class");
    picks.forEach((pick, k) => pick.setAttribute("aria-pressed", String(only === k - 1)));
  }

  const neighbours = latest(async () => {
    const k = chosen;
    subject.show(k);
    rebuilt.href = `#/${data.name}/rebuild?image=${data.index[k]}`;
    const rows = [];
    for (const [number, method] of data.methods.entries()) {
      const codes = await method.codes();
      const found = nearest(codes.of(k), codes.all, NEIGHBOURS, k);
      const same = found.filter((other) => data.labels[other] === data.labels[k]).length;
      const says = method.predicted[k];
      // who chose by keyboard goes on in the same row
      const goOn = (other) => choose(other).then(() => body.rows[number].querySelector("button").focus({ preventScroll: true }));
      rows.push(el("tr", {}, methodHead(method),
        says === data.labels[k] ? el("td", {}, classChip(data, says)) : el("td", { class: "wrong" }, classChip(data, says), ", wrong"),
        el("td", { class: "numeric" }, method.errors[k].toFixed(3)),
        el("td", {}, thumbnails(data, sheet, found, goOn, data.labels[k])),
        el("td", { class: "numeric" }, `${same} of ${found.length}`)));
    }
    body.replaceChildren(...rows);
  });

  const field = imageField(data, "Test image", chosen, choose);
  const [subject, body, scale] = [chosenImage(data, sheet), el("tbody"), el("span", { class: "scale" })];
  const rebuilt = el("a", {}, "Reconstructions");
  const picks = [-1, ...data.classes.keys()].map((label) => el("button", {
    type: "button", class: "pick",
    onclick: () => { only = label; state.set({ class: label < 0 ? null : label }); colours(); },
  }, ...(label < 0 ? ["all classes"] : [swatch(data.colors[label]), data.classes[label]])));
  const key = el("div", { class: "legend", role: "group", "aria-label": "Classes" }, scale, ...picks);
  const zoom = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, onclick: () => plots.forEach(({ scatter }) => act(scatter)) }, text);
  const labelled = data.methods.some((method) => method.seesLabels) ? " † marks methods that saw labels in training." : "";
  root.append(
    el("h2", {}, "Map"),
    el("p", { class: "about" }, `Each dot is one of ${data.n.toLocaleString("en")} test images; each map is one method's codes, laid out so that images with similar codes lie together (t-SNE). Point at a dot and the same image lights up in every map; click it to see its nearest neighbours by each code. T, the trustworthiness, says how far the neighbours in a map are neighbours by the code, from 0 to 1. The probe is a linear classifier on the codes, with its share of right answers on all test images; it need not agree with the neighbours.${labelled} The foot of the page says what the methods are.`),
    el("div", { class: "controls" },
      subject, field, rebuilt,
      choice("Colour", Object.entries(COLOURS), colour,
        (value) => { colour = value; state.set({ colour: value === "class" ? null : value }); colours(); }),
      el("span", { class: "field", role: "group", "aria-label": "Zoom of all maps" }, "Zoom ",
        zoom("+", "Zoom in on the chosen image", (scatter) => scatter.zoomOn(chosen, 2)),
        zoom("−", "Zoom out", (scatter) => scatter.zoomBy(0.5)),
        zoom("All", "Show all points", (scatter) => scatter.reset()))),
    key,
    el("div", { class: "plots" }, ...plots.map(({ figure }) => figure)),
    el("p", { class: "hint" }, "In a map: click or tap a dot to choose it; the mouse drags, and zooms with Ctrl and its wheel. By keyboard, arrows go to the next image, + and − zoom, and 0 shows all."),
    el("h3", {}, "Nearest test images by each code"),
    el("p", { class: "hint" }, `Nearest of the ${data.n.toLocaleString("en")} by the angle between codes. An outlined image is of another class. Choose one to go on from there. MAE is the mean absolute error of a pixel, from 0 to 1, in the image that the method rebuilds.`),
    el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Nearest images by each code" },
      el("table", {}, el("thead", {}, el("tr", {}, ...["code", "probe says", "MAE", "nearest first", "same class"].map((text) => el("th", { scope: "col" }, text)))), body)),
  );
  colours();
  for (const { scatter } of plots) scatter.mark([chosen]);
  await neighbours();
}
