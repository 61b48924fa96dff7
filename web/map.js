// The map: the t-SNE of every method side by side; one image is chosen in all of them.

import { nearest } from "./codes.js";
import { Scatter } from "./scatter.js";
import { classChip, imageField, thumbnails } from "./tiles.js";
import { blend, choice, drawImage, el, isDark, latest, methodName, picture, ramp, say, seen, swatch } from "./ui.js";

const NEIGHBOURS = 10;
const RIGHT_WRONG = { right: "#0072b2", wrong: "#d55e00" };
const faint = () => (isDark() ? "#6b7280" : "#b6bcc6");

export async function map(root, data, state) {
  let chosen = state.image();
  let colour = state.get("colour", "class");
  let only = state.number("class", -1, 0, data.classes.length - 1);
  const sheet = await data.sheet();
  const worst = Math.max(...data.methods.flatMap((method) => method.errors));

  const plots = data.methods.map((method) => {
    const canvas = el("canvas", {
      tabindex: "0", role: "application",
      "aria-label": `t-SNE of ${method.label}: arrow keys move to the next image, plus and minus zoom, 0 shows all`,
    });
    const thumb = picture("the image pointed at", "pointed");
    thumb.hidden = true;
    const facts = `T ${method.trustworthiness.toFixed(3)}, probe ${method.accuracy.toFixed(1)}\u00a0%`;
    const figure = el("figure", { class: "plot" },
      el("figcaption", {}, el("span", { class: "name" }, swatch(method.color), methodName(method)), el("span", { class: "number" }, facts)),
      el("div", { class: "frame" }, canvas, thumb));
    const plot = { method, canvas, thumb, figure };
    plot.scatter = new Scatter(canvas, method.x, method.y, { point: (k) => point(k, plot), choose });
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
    drawImage(plot.thumb, data, sheet.image(k));
    plot.thumb.style.left = `${x > width / 2 ? x - 74 : x + 18}px`;
    plot.thumb.style.top = `${y > width / 2 ? y - 74 : y + 18}px`;
    plot.thumb.hidden = false;
  }

  function choose(k) {
    chosen = k;
    state.set({ image: data.index[k] });
    field.set(k);
    for (const { scatter } of plots) scatter.mark([k]);
    const says = data.methods.map((method) => `${method.label}: ${data.classes[method.predicted[k]]}`).join(", ");
    say(`Test image ${data.index[k]}, ${data.classes[data.labels[k]]}. Probes: ${says}.`);
    return neighbours();
  }

  function colours() {
    for (const { method, scatter } of plots) {
      const of = {
        class: (k) => seen(data.colors[data.labels[k]]),
        probe: (k) => (method.predicted[k] === data.labels[k] ? seen(blend(RIGHT_WRONG.right, faint(), 0.45)) : seen(RIGHT_WRONG.wrong)),
        error: (k) => ramp(Math.round((32 * method.errors[k]) / worst) / 32),
      }[colour];
      scatter.paintWith(data.labels.map((_, k) => of(k)), (k) => only < 0 || data.labels[k] === only);
    }
    key.replaceChildren(...legend());
  }

  function legend() {
    const pick = (label, ...inside) => el("button", {
      type: "button", class: "pick", "aria-pressed": String(only === label),
      onclick: () => { only = label; state.set({ class: label < 0 ? null : label }); colours(); },
    }, ...inside);
    const classes = [pick(-1, "all classes"), ...data.classes.map((name, label) =>
      pick(label, ...(colour === "class" ? [swatch(data.colors[label])] : []), name))];
    if (colour === "probe")
      classes.unshift(el("span", { class: "scale" }, swatch(blend(RIGHT_WRONG.right, faint(), 0.45)), "probe is right ", swatch(RIGHT_WRONG.wrong), "probe is wrong"));
    if (colour === "error") {
      const bar = el("span", { class: "bar", "aria-hidden": "true" });
      for (let k = 0; k < 24; k++) {
        const part = el("i");
        part.style.background = ramp(k / 23);
        bar.append(part);
      }
      classes.unshift(el("span", { class: "scale" }, "0 ", bar, ` ${worst.toFixed(2)} mean absolute error`));
    }
    return classes;
  }

  const neighbours = latest(async () => {
    const k = chosen;
    drawImage(large, data, sheet.image(k));
    large.setAttribute("aria-label", `test image ${data.index[k]}, ${data.classes[data.labels[k]]}`);
    about.replaceChildren(el("b", {}, `Test image ${data.index[k]}`), el("br"), classChip(data, data.labels[k]));
    const rows = [];
    for (const method of data.methods) {
      const codes = await method.codes();
      const found = nearest(codes.of(k), codes.all, NEIGHBOURS, k);
      const same = found.filter((other) => data.labels[other] === data.labels[k]).length;
      const says = method.predicted[k];
      rows.push(el("tr", {},
        el("th", { scope: "row" }, swatch(method.color), methodName(method)),
        says === data.labels[k] ? el("td", {}, classChip(data, says)) : el("td", { class: "wrong" }, classChip(data, says), ", wrong"),
        el("td", { class: "numeric" }, method.errors[k].toFixed(3)),
        el("td", {}, thumbnails(data, sheet, found, choose, data.labels[k])),
        el("td", { class: "numeric" }, `${same} of ${found.length}`)));
    }
    body.replaceChildren(...rows);
  });

  const field = imageField(data, "Test image", chosen, choose);
  const [key, body, about] = [el("div", { class: "legend", role: "group", "aria-label": "Classes" }), el("tbody"), el("p")];
  const large = picture("the chosen image", "picture large");
  const zoom = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, onclick: () => plots.forEach(({ scatter }) => act(scatter)) }, text);
  const near = (scatter) => [scatter.x[chosen], scatter.y[chosen]];
  root.append(
    el("h2", {}, "Map"),
    el("p", { class: "about" }, `Each dot is a test image; each map is one method's codes, laid out so that images with similar codes lie together (t-SNE). Point at a dot and the same image lights up in every map; click it to see its nearest neighbours by each code. T says how far a map can be trusted: 1 is perfect. The probe is a linear classifier on the codes, with its share of right answers.${data.methods.some((method) => method.seesLabels) ? " † marks methods that saw labels in training." : ""}`),
    el("div", { class: "controls" },
      field,
      choice("Colour", [["class", "by class"], ["probe", "by whether the probe is right"], ["error", "by reconstruction error"]], colour,
        (value) => { colour = value; state.set({ colour: value === "class" ? null : value }); colours(); }),
      el("span", { class: "field", role: "group", "aria-label": "Zoom of all maps" }, "Zoom ",
        zoom("+", "Zoom in on the chosen image", (scatter) => { scatter.centre = near(scatter); scatter.zoomBy(2); }),
        zoom("−", "Zoom out", (scatter) => scatter.zoomBy(0.5)),
        zoom("All", "Show all points", (scatter) => scatter.reset()))),
    key,
    el("div", { class: "plots" }, ...plots.map(({ figure }) => figure), el("div", { class: "subject" }, el("h3", {}, "The chosen image"), large, about)),
    el("h3", {}, "Its nearest test images by each code"),
    el("p", { class: "hint" }, "Nearest by the angle between codes. An outlined image is of another class. Choose one to go on from there."),
    el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Nearest images by each code" },
      el("table", {}, el("thead", {}, el("tr", {}, ...["code", "probe says", "error", "nearest first", "same class"].map((text) => el("th", { scope: "col" }, text)))), body)),
  );
  colours();
  for (const { scatter } of plots) scatter.mark([chosen]);
  await neighbours();
}
