// Rebuild: what each method's decoder makes of the code of one image, and where it errs.

import { meanError } from "./codes.js";
import { classify, decode } from "./models.js";
import { classChip, imageField, Tiles } from "./tiles.js";
import { choice, drawImage, el, latest, picture, ramp, say } from "./ui.js";

const FINDS = {
  "right-worst": "rightly classified, worst rebuilt",
  "wrong-best": "wrongly classified, best rebuilt",
};

export async function rebuild(root, data, state) {
  let k = state.image();
  const sheet = await data.sheet();
  const tiles = new Tiles(data, { errors: true });
  const [large, about] = [picture("the chosen image", "picture large"), el("p")];
  let [method, find] = [data.methods.at(-1).name, "right-worst"];
  for (const { name } of data.methods) if (name === "guided") method = name;

  const update = latest(async () => {
    const [current, original] = [k, sheet.image(k)];
    drawImage(large, data, original);
    large.setAttribute("aria-label", `test image ${data.index[current]}, ${data.classes[data.labels[current]]}`);
    about.replaceChildren(el("b", {}, `Test image ${data.index[current]}`), el("br"), classChip(data, data.labels[current]));
    for (const one of data.methods) {
      const code = (await one.codes()).of(current);
      const [image, [verdict]] = [await decode(one, code), await classify(one, code)];
      tiles.show(one.name, image, { verdict, truth: data.labels[current], original, number: `MAE ${meanError(image, original).toFixed(3)}` });
    }
    say(`Test image ${data.index[current]} rebuilt by every method.`);
  });

  function choose(next) {
    k = next;
    state.set({ image: data.index[k] });
    field.set(k);
    return update();
  }

  /** The next image of the search; from the first again at the end. */
  let rank = -1;
  function next() {
    const { predicted, errors } = data.methods.find(({ name }) => name === method);
    const wanted = find === "right-worst";
    const found = data.labels.map((_, j) => j).filter((j) => (predicted[j] === data.labels[j]) === wanted);
    found.sort((a, b) => (wanted ? errors[b] - errors[a] : errors[a] - errors[b]));
    rank = (rank + 1) % (found.length || 1);
    if (found.length) choose(found[rank]);
  }

  const field = imageField(data, "Test image", k, choose);
  const scale = el("span", { class: "bar", "aria-hidden": "true" });
  for (let j = 0; j < 24; j++) {
    const part = el("i");
    part.style.background = ramp(j / 23);
    scale.append(part);
  }
  root.append(
    el("h2", {}, "Rebuild"),
    el("p", { class: "about" }, `A code is ${data.methods[0].size} numbers; the image has ${data.pixels.toLocaleString("en")}. Each decoder draws the image again from the code alone: what it cannot draw, the code has lost. Beside each drawing is its error at every pixel, and below it the class that a linear probe reads from the same code.`),
    el("div", { class: "controls" }, field,
      el("span", { class: "field", role: "group", "aria-label": "Find an image" },
        choice("Find by", data.methods.map(({ name, label }) => [name, label]), method, (value) => { [method, rank] = [value, -1]; }),
        choice("an image", Object.entries(FINDS), find, (value) => { [find, rank] = [value, -1]; }),
        el("button", { type: "button", onclick: next }, "Next"))),
    el("div", { class: "beside" }, el("div", { class: "subject" }, large, about), tiles.element),
    el("p", { class: "legend" }, el("span", { class: "scale" }, "Error of a pixel: 0 ", scale, " 0.5 or more. MAE is its mean over the image; a pixel is from 0 to 1.")),
    el("p", { class: "hint" }, `Decoders: ${data.methods.map(({ label, decoder }) => `${label}, ${decoder}`).join("; ")}. Codes are kept in 8 bits a number.`),
  );
  await update();
}
