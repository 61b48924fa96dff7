// Rebuild: what each method's decoder makes of the code of one image, and where it errs.

import { meanError } from "./codes.js";
import { classify, decode } from "./models.js";
import { chosenImage, errorLegend, imageField, Tiles } from "./tiles.js";
import { choice, el, latest, say } from "./ui.js";

const FINDS = {
  right: "correctly classified, worst rebuilt",
  wrong: "incorrectly classified, best rebuilt",
};

export async function rebuild(root, data, state) {
  let k = state.image();
  const sheet = await data.sheet();
  const tiles = new Tiles(data, { errors: true });
  const subject = chosenImage(data, sheet);
  const [named, usual] = [state.get("by"), "guided"].map((wanted) => data.methods.find(({ name }) => name === wanted));
  let method = named ?? usual ?? data.methods[0];
  let find = Object.hasOwn(FINDS, state.get("find", "")) ? state.get("find") : "right";

  const update = latest(async () => {
    const [current, original] = [k, sheet.image(k)];
    subject.show(current);
    for (const one of data.methods) {
      const code = (await one.codes()).of(current);
      const [image, [verdict]] = [await decode(one, code), await classify(one, code)];
      tiles.show(one.name, image, { verdict, truth: data.labels[current], original, number: `MAE ${meanError(image, original).toFixed(3)}${one.decoder === "its own" ? "\nown decoder" : ""}` });
    }
    say(`${told.textContent} Test image ${data.index[current]} rebuilt by every method.`);
  });

  function choose(next, why = "") {
    k = next;
    told.textContent = why;
    state.set({ image: data.index[k], find: why && find, by: why && method.name }, { step: true });
    field.set(k);
    return update();
  }

  /** The images of the search in order, and what it looks for. */
  function search() {
    const { label, predicted, errors } = method;
    const found = [...data.labels.keys()].filter((j) => (predicted[j] === data.labels[j]) === (find === "right"));
    found.sort((a, b) => (find === "right" ? errors[b] - errors[a] : errors[a] - errors[b]));
    return [found, `${label} classifies ${find === "right" ? "correctly" : "incorrectly"}`];
  }

  const numbered = ([found, which], rank) => `Number ${rank + 1} of the ${found.length.toLocaleString("en")} images that ${which}, the ${find === "right" ? "worst" : "best"} rebuilt first.`;

  /** The next image of the search; from the first again at the end, and where another was looked at in between. */
  function next() {
    const [found, which] = search();
    if (found.length === 0) {
      told.textContent = `There is no image that ${which}.`;
      return say(told.textContent);
    }
    const rank = told.textContent ? (found.indexOf(k) + 1) % found.length : 0;
    return choose(found[rank], numbered([found, which], rank));
  }

  const field = imageField(data, "Test image", k, choose);
  const told = el("p", { class: "hint" });
  root.append(
    el("h2", {}, "Rebuild"),
    el("p", { class: "about" }, `A code is ${data.methods[0].size} numbers; the image has ${data.pixels.toLocaleString("en")}. Each decoder draws the image again from the code alone: what it does not draw, it could not read from the code. "Own decoder": trained with the encoder; the others were trained afterwards, on the finished codes. Beside each drawing is its error at every pixel, and below it the class that a linear probe reads from the same code.`),
    el("div", { class: "controls" }, field,
      el("span", { class: "field", role: "group", "aria-label": "Find an image" },
        choice("By", data.methods.map(({ name, label }) => [name, label]), method.name,
          (value) => { method = data.methods.find(({ name }) => name === value); told.textContent = ""; }),
        choice("find an image", Object.entries(FINDS), find, (value) => { find = value; told.textContent = ""; }),
        el("button", { type: "button", onclick: next }, "Find the next"))),
    told,
    el("div", { class: "beside" }, subject, tiles.element),
    errorLegend(),
    el("p", { class: "hint" }, "Codes and weights are kept in 8 bits a number here, so errors may differ a little from the map's."),
  );
  if (state.get("find")) {
    const searched = search();
    const rank = searched[0].indexOf(k);
    if (rank >= 0) told.textContent = numbered(searched, rank);
  }
  await update();
}
