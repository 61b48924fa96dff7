// Squeeze: a code in fewer bits and fewer numbers, and what is left of image and class.

import { meanError, squeeze as squeezed } from "./codes.js";
import { classify, decode } from "./models.js";
import { chosenImage, imageField, Tiles } from "./tiles.js";
import { el, latest, say, slider } from "./ui.js";

export async function squeeze(root, data, state) {
  const sheet = await data.sheet();
  const most = Math.max(...data.methods.map(({ size }) => size));
  let k = state.image();
  let bits = Math.round(state.number("bits", 8, 1, 8));
  let kept = Math.round(state.number("kept", most, 1, most));
  const tiles = new Tiles(data);
  const [subject, told] = [chosenImage(data, sheet), el("p", { class: "hint" })];
  const rights = new Map();

  const update = latest(async () => {
    const [current, original] = [k, sheet.image(k)];
    subject.show(current);
    const bytes = Math.ceil((bits * kept) / 8);
    told.textContent = `The code takes ${(bits * kept).toLocaleString("en")} bits (${bytes} ${bytes === 1 ? "byte" : "bytes"}); the image ${data.pixels.toLocaleString("en")} bytes.`;
    for (const one of data.methods) {
      const codes = await one.codes();
      const code = squeezed(codes.of(current), codes, kept, bits);
      const [image, [verdict]] = [await decode(one, code), await classify(one, code)];
      const right = rights.get(one.name);
      tiles.show(one.name, image, {
        verdict, truth: data.labels[current],
        number: `MAE ${meanError(image, original).toFixed(3)}${right === undefined ? "" : `\nright on ${right} of ${data.n}`}`,
      });
    }
  });

  /** On how many images of the map the probe is right by their squeezed codes. */
  const count = latest(async () => {
    const [keptNow, bitsNow] = [kept, bits];
    for (const one of data.methods) {
      const codes = await one.codes();
      await new Promise((resolve) => setTimeout(resolve)); // let a moved slider draw first
      if (keptNow !== kept || bitsNow !== bits) return;
      const found = await classify(one, squeezed(codes.all, codes, kept, bits));
      rights.set(one.name, found.filter(({ label }, j) => label === data.labels[j]).length);
    }
    await update();
    say(told.textContent);
  });

  async function changed({ step = false } = {}) {
    state.set({ image: data.index[k], bits, kept: kept === most ? null : kept }, { step });
    rights.clear();
    await update();
    return count();
  }

  const field = imageField(data, "Test image", k, (next) => { k = next; field.set(k); changed({ step: true }); });
  root.append(
    el("h2", {}, "Squeeze"),
    el("p", { class: "about" }, `How little of a code is enough? Keep fewer of its numbers, those along the principal directions in which the codes differ most, and write each in fewer bits. Watch which goes first, the picture or the class. MAE is the mean absolute error of a pixel, from 0 to 1, in this image. The count below it is of all ${data.n.toLocaleString("en")} images of the map: on how many a linear probe still finds the right class.`),
    el("div", { class: "controls" }, field),
    el("div", { class: "sliders" },
      slider("Bits a number", { min: 1, max: 8, step: 1, value: bits, show: String }, (value) => { bits = value; changed(); }),
      slider("Numbers kept", { min: 1, max: most, step: 1, value: kept, show: String }, (value) => { kept = value; changed(); })),
    told,
    el("div", { class: "beside" }, subject, tiles.element),
  );
  await changed();
}
