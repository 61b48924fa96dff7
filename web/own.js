// Own image: a file or a drawing, encoded, rebuilt and classified in the page. Nothing leaves it.

import { meanError, nearest } from "./codes.js";
import { planar } from "./data.js";
import { classify, decode, encode } from "./models.js";
import { drawnDigit, readPicture, Unfit } from "./picture.js";
import { errorLegend, thumbnails, Tiles } from "./tiles.js";
import { busy, drawImage, el, latest, methodHead, picture, say } from "./ui.js";

const NEIGHBOURS = 10;
const PAD = 280; // pixels of the drawing pad
const PEN = 22;
let drawn = null; // what the pad holds, while another view is shown

export async function own(root, data, state) {
  const sheet = await data.sheet();
  const tiles = new Tiles(data, { errors: true });
  const [told, large, body] = [el("p", { class: "hint", role: "alert" }), picture("your image", "picture large"), el("tbody")];
  const results = el("div", { hidden: true },
    el("div", { class: "beside" }, el("div", { class: "subject" }, large, el("p", {}, "Your image, as the encoders see it")), tiles.element),
    errorLegend(),
    el("h3", {}, "The nearest test images by each code"),
    el("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": "Nearest images by each code" },
      el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "code"), el("th", { scope: "col" }, "nearest by angle between codes"))), body)));

  const work = latest(async (image) => {
    results.hidden = false;
    drawImage(large, data, image);
    const rows = [];
    for (const one of data.methods) {
      const codes = await one.codes();
      const code = await encode(data, one, image);
      const [made, [verdict]] = [await decode(one, code), await classify(one, code)];
      tiles.show(one.name, made, { verdict, original: image, number: `MAE ${meanError(made, image).toFixed(3)}` });
      const found = nearest(code, codes.all, NEIGHBOURS);
      rows.push(el("tr", {}, methodHead(one),
        el("td", {}, thumbnails(data, sheet, found, (k) => { location.hash = `#/${data.name}/map?image=${data.index[k]}`; }))));
    }
    body.replaceChildren(...rows);
    say("Your image is encoded, rebuilt and classified by every method.");
  });

  /** RGBA bytes [h * w * 4] in the data set's size, shown and kept in the address. */
  function take(rgba, note) {
    told.textContent = note;
    told.classList.remove("wrong");
    state.set({ pixels: packed(rgba, data.channels) });
    return work(planar(rgba, data.channels));
  }

  async function read(file, flipped = false) {
    told.textContent = "";
    drawing?.clear();
    try {
      const { rgba, inverted, note } = await readPicture(file, data, flipped);
      flip.hidden = !data.whiteOnBlack;
      flip.textContent = inverted ? "Do not invert" : "Invert black and white";
      flip.onclick = () => busy(() => read(file, !flipped));
      await take(rgba, note);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      results.hidden = true;
      flip.hidden = true;
      told.textContent = `${file.name}: ${error.message}`;
      told.classList.add("wrong");
      state.set({ pixels: null });
    }
  }

  const input = el("input", { type: "file", accept: "image/*", onchange: () => input.files[0] && busy(() => read(input.files[0])) });
  const flip = el("button", { type: "button", hidden: true });
  const drop = el("label", { class: "drop" }, el("span", {}, "Drop a picture here, or choose one"), input);
  for (const kind of ["dragover", "dragenter"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    input.files = event.dataTransfer.files;
    if (file) busy(() => read(file));
    else told.textContent = "What was dropped is no file; drop a picture.";
  });

  function takeDrawing(digit) {
    flip.hidden = true;
    input.value = "";
    return take(digit, "The drawing is centred and scaled as the digits of the data set are.");
  }

  /** Without an image, as at first; a picture from a file stays. */
  function forget() {
    if (input.files.length > 0) return;
    results.hidden = true;
    told.textContent = "";
    state.set({ pixels: null });
  }

  const drawing = data.whiteOnBlack ? pad(data, takeDrawing, forget) : null;

  root.append(
    el("h2", {}, "Own image"),
    el("p", { class: "about" }, `Give a picture${data.whiteOnBlack ? " or draw a digit" : ""}: every method encodes, rebuilds and classifies it, in this page; nothing is sent anywhere. A picture is squeezed to ${data.width} x ${data.height} pixels, so crop it to a square first. The networks know nothing but ${data.label}: the probe finds one of its ${data.classes.length} classes in anything.`),
    el("div", { class: "givers" }, drop, drawing?.element),
    told, flip, results,
  );
  const kept = unpacked(state.get("pixels", ""), data);
  if (kept) {
    told.textContent = "This image was given before; a new one replaces it.";
    drawing?.restore();
    await work(planar(kept, data.channels));
  }
}

/** A field to draw a digit in: its `element`; `clear()`, and `restore()` of the last drawing. Its button clears and forgets. */
function pad(data, take, forget) {
  const canvas = el("canvas", { class: "pad", width: PAD, height: PAD, role: "img", "aria-label": "Pad to draw a digit on with mouse or finger; with the keyboard, choose a picture instead" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const blank = () => { context.fillStyle = "#000000"; context.fillRect(0, 0, PAD, PAD); };
  const clear = () => { drawn = null; blank(); };
  const restore = () => { if (drawn) context.putImageData(drawn, 0, 0); };
  blank();
  let from = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * PAD) / box.width, ((event.clientY - box.top) * PAD) / box.height];
  };
  const stroke = (to) => {
    Object.assign(context, { strokeStyle: "#ffffff", lineWidth: PEN, lineCap: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); from = at(event); stroke(from); });
  canvas.addEventListener("pointermove", (event) => { if (from) stroke(at(event)); });
  canvas.addEventListener("pointerup", () => {
    from = null;
    drawn = context.getImageData(0, 0, PAD, PAD);
    const digit = drawnDigit(canvas, data);
    if (digit) take(digit);
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  const button = el("button", { type: "button", onclick: () => { clear(); forget(); } }, "Clear the pad");
  return { clear, restore, element: el("div", { class: "draw" }, el("p", {}, "Or draw a digit, with mouse or finger"), canvas, button) };
}

/** The image as text for the address, and back; null for what is none. */
function packed(rgba, channels) {
  const bytes = [];
  for (let p = 0; p < rgba.length; p += 4) for (let c = 0; c < channels; c++) bytes.push(rgba[p + c]);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function unpacked(text, data) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
    if (bytes.length !== data.pixels) return null;
    const { channels } = data;
    return Uint8ClampedArray.from({ length: (4 * bytes.length) / channels }, (_, j) => (j % 4 === 3 ? 255 : bytes[Math.floor(j / 4) * channels + (channels === 1 ? 0 : j % 4)]));
  } catch {
    return null;
  }
}
