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
  let method = data.methods.find(({ name }) => name === "guided") ?? data.methods[0];
  let find = "right";

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
    state.set({ image: data.index[k] }, { step: why !== "" });
    field.set(k);
    return update();
  }

  /** The next image of the search; from the first again at the end. */
  let rank = -1;
  function next() {
    const { label, predicted, errors } = method;
    const found = [...data.labels.keys()].filter((j) => (predicted[j] === data.labels[j]) === (find === "right"));
    found.sort((a, b) => (find === "right" ? errors[b] - errors[a] : errors[a] - errors[b]));
    const which = `${label} classifies ${find === "right" ? "correctly" : "incorrectly"}`;
    if (found.length === 0) {
      told.textContent = `There is no image that ${which}.`;
      return say(told.textContent);
    }
    rank = (rank + 1) % found.length;
    return choose(found[rank], `Number ${rank + 1} of the ${found.length.toLocaleString("en")} images that ${which}, the ${find === "right" ? "worst" : "best"} rebuilt first.`);
  }

  const field = imageField(data, "Test image", k, choose);
  const told = el("p", { class: "hint" });
  root.append(
    el("h2", {}, "Rebuild"),
    el("p", { class: "about" }, `A code is ${data.methods[0].size} numbers; the image has ${data.pixels.toLocaleString("en")}. Each decoder draws the image again from the code alone: what it does not draw, it could not read from the code. "Own decoder": trained with the encoder; the others were trained afterwards, on the finished codes. Beside each drawing is its error at every pixel, and below it the class that a linear probe reads from the same code.`),
    el("div", { class: "controls" }, field,
      el("span", { class: "field", role: "group", "aria-label": "Find an image" },
        choice("By", data.methods.map(({ name, label }) => [name, label]), method.name,
          (value) => { [method, rank] = [data.methods.find(({ name }) => name === value), -1]; told.textContent = ""; }),
        choice("find an image", Object.entries(FINDS), find, (value) => { [find, rank] = [value, -1]; told.textContent = ""; }),
        el("button", { type: "button", onclick: next }, "Find the next"))),
    told,
    el("div", { class: "beside" }, subject, tiles.element),
    errorLegend(),
    el("p", { class: "hint" }, "Codes and weights are kept in 8 bits a number here, so errors may differ a little from the map's."),
  );
  await update();
}
