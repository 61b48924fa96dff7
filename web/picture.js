// A picture file as an image of the data set: which side is up, what is behind transparent pixels, black or white.

const GREY = 128; // behind transparent pixels of colour images: no cut-out vanishes in it
const SLENDER = 20; // a picture this many times as long as wide shows nothing once it is square
const MOST = 50e6; // pixels
const LARGEST = 100e6; // bytes
const FLAT = 16; // grey levels: a picture with fewer is as good as empty
const DIGIT = 20 / 28; // of the side: how large the digits of MNIST are, centred by their weight

const DAMAGED = "damaged or cut short; copy it anew, or save it as PNG or JPEG.";

/** What is wrong with a file, and what to do. */
export class Unfit extends Error {}

/** A file -> RGBA bytes in the data set's size. `flipped`: against what is guessed about black and white. */
export async function readPicture(file, data, flipped) {
  if (file.size === 0) throw new Unfit("an empty file; copy it anew.");
  if (file.size > LARGEST) throw new Unfit(`too large (${Math.round(file.size / 1e6)} MB, at most ${LARGEST / 1e6}); make it smaller.`);
  if (cutShort(new Uint8Array(await file.arrayBuffer()))) throw new Unfit(DAMAGED);
  const source = URL.createObjectURL(file);
  try {
    const picture = await opened(source);
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    if (width * height > MOST) throw new Unfit(`too large (${width} x ${height} pixels); make it smaller.`);
    if (Math.max(width, height) > SLENDER * Math.min(width, height)) throw new Unfit(`${width} x ${height} pixels, too long and narrow; cut it nearer to a square.`);
    await picture.decode().catch(() => { throw new Unfit(DAMAGED); });
    return fitted(picture, data, flipped);
  } finally {
    URL.revokeObjectURL(source);
  }
}

/** Whether a PNG or JPEG lacks its end: a browser would draw the rest as if it were empty. */
function cutShort(bytes) {
  const ends = { 0x89: [0x49, 0x45, 0x4e, 0x44], 0xff: [0xff, 0xd9] }[bytes[0]]; // "IEND"; end of image
  if (!ends) return false;
  for (let k = bytes.length - ends.length; k > 0; k--) if (ends.every((byte, j) => bytes[k + j] === byte)) return false;
  return true;
}

function opened(source) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => (picture.naturalWidth ? resolve(picture) : reject(new Unfit("a picture without a size; save it as PNG or JPEG.")));
    picture.onerror = () => reject(new Unfit("not a picture that the browser can read, or damaged; give a PNG or JPEG file."));
    picture.src = source;
  });
}

/** The picture on a ground of one grey level, in the data set's size; it is turned as its metadata say. */
function on(picture, data, ground) {
  const canvas = new OffscreenCanvas(data.width, data.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (ground !== null) {
    context.fillStyle = `rgb(${ground} ${ground} ${ground})`;
    context.fillRect(0, 0, data.width, data.height);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, data.width, data.height);
  return context.getImageData(0, 0, data.width, data.height).data;
}

const grey = (rgba) => Array.from({ length: rgba.length / 4 }, (_, p) => 0.299 * rgba[4 * p] + 0.587 * rgba[4 * p + 1] + 0.114 * rgba[4 * p + 2]);
const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function fitted(picture, data, flipped) {
  const alpha = on(picture, data, null).filter((_, k) => k % 4 === 3);
  const clear = alpha.some((value) => value < 255);
  if (alpha.every((value) => value === 0)) throw new Unfit("wholly transparent; save it without transparency.");
  let ground = data.whiteOnBlack ? 0 : GREY;
  if (clear && data.whiteOnBlack) {
    // a drawing that would vanish in black is put on white
    const contrast = (level) => Math.max(...grey(on(picture, data, level)).map((value) => Math.abs(value - level)));
    if (contrast(0) < Math.min(contrast(255), 128)) ground = 255;
  }
  const rgba = on(picture, data, ground);
  const values = grey(rgba);
  if (data.channels === 1) values.forEach((value, p) => rgba.fill(value, 4 * p, 4 * p + 3));
  const flat = Math.max(...values) - Math.min(...values) < FLAT;
  const { width, height } = data;
  const border = values.filter((_, p) => p % width === 0 || p % width === width - 1 || p < width || p >= width * (height - 1));
  const inverted = data.whiteOnBlack && (Math.max(middle(border), middle(values)) > 127) !== flipped;
  if (inverted) for (let k = 0; k < rgba.length; k++) if (k % 4 !== 3) rgba[k] = 255 - rgba[k];
  const notes = [];
  if (inverted) notes.push(`Black and white are exchanged, as ${data.label} is white on black.`);
  if (clear) notes.push(`What is transparent became ${data.whiteOnBlack ? "background" : "grey"}.`);
  if (picture.naturalWidth !== picture.naturalHeight) notes.push("The picture is not square and was squashed.");
  if (flat) notes.push("It is of one colour, or nearly: its codes say nothing.");
  return { rgba, inverted, note: notes.join(" ") };
}

/** White strokes on a black pad -> RGBA bytes of a digit like MNIST's in size and place; null without any. */
export function drawnDigit(pad, data) {
  const size = pad.width;
  const pixels = pad.getContext("2d").getImageData(0, 0, size, size).data;
  let [left, top, right, bottom, mass, x, y] = [size, size, -1, -1, 0, 0, 0];
  for (let p = 0; p < size * size; p++) {
    const weight = pixels[4 * p];
    if (weight < 64) continue;
    const [px, py] = [p % size, Math.floor(p / size)];
    [left, right, top, bottom] = [Math.min(left, px), Math.max(right, px), Math.min(top, py), Math.max(bottom, py)];
    mass += weight;
    x += weight * px;
    y += weight * py;
  }
  if (right < 0) return null;
  const scale = (DIGIT * data.width) / Math.max(right - left, bottom - top, 1);
  const canvas = new OffscreenCanvas(data.width, data.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, data.width, data.height);
  context.imageSmoothingQuality = "high";
  // centred by weight, as far as nothing is cut off
  const shift = (centre, low, high) => Math.max(1 - low * scale, Math.min(data.width - 1 - high * scale, data.width / 2 - centre * scale));
  context.drawImage(pad, shift(x / mass, left, right), shift(y / mass, top, bottom), size * scale, size * scale);
  return context.getImageData(0, 0, data.width, data.height).data;
}
