// The files of a data set: its description at once, images and codes when they are first asked for.

import { fromLevels, space } from "./codes.js";

async function fetched(path) {
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) throw new Error(`${path} is missing (${response.status}); run make explorer again`);
  return response;
}

/** A promise that is made when it is first asked for, and again after it has failed. */
export function once(make) {
  let made = null;
  return () => (made ??= make().catch((error) => { made = null; throw error; }));
}

export async function loadDataset(name) {
  const data = await (await fetched(`${name}/dataset.json`)).json();
  data.n = data.index.length;
  data.position = new Map(data.index.map((index, k) => [index, k]));
  data.pixels = data.height * data.width * data.channels;
  data.sheet = once(() => loadSheet(data));
  for (const method of data.methods) {
    method.folder = `${name}/${method.name}`;
    method.codes = once(() => loadCodes(method, data.classes.length));
  }
  return data;
}

async function loadSheet(data) {
  const blob = await (await fetched(`${data.name}/images.webp`)).blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const place = (k) => [(k % data.columns) * data.width, Math.floor(k / data.columns) * data.height];
  return {
    /** The image at a position as float32 [c * h * w] in [0, 1]. */
    image(k) {
      return planar(context.getImageData(...place(k), data.width, data.height).data, data.channels);
    },
  };
}

/** RGBA bytes -> float32 [c * h * w] in [0, 1]. */
export function planar(rgba, channels) {
  const size = rgba.length / 4;
  const image = new Float32Array(channels * size);
  for (let c = 0; c < channels; c++) for (let p = 0; p < size; p++) image[c * size + p] = rgba[4 * p + c] / 255;
  return image;
}

async function loadCodes(method, classes) {
  const [levels, axes] = await Promise.all(
    ["codes", "axes"].map(async (name) => (await fetched(`${method.folder}/${name}`)).arrayBuffer()),
  );
  const made = space(axes, method.size, classes);
  const all = fromLevels(new Uint8Array(levels), made);
  return { ...made, all, of: (k) => all.subarray(k * made.d, (k + 1) * made.d) };
}
