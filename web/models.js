// The networks, run in the page by onnxruntime's WebAssembly; each is fetched when it is first used.

import * as ort from "onnxruntime-web/wasm";
import { along, verdict, whole } from "./codes.js";
import { once } from "./data.js";

ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", document.baseURI).href };
ort.env.wasm.numThreads = 1; // more need headers that a plain static host does not send

const sessions = new Map();
let last = Promise.resolve();

/** One after the other: the runtime has one thread. */
function queued(task) {
  const result = last.then(task);
  last = result.catch(() => {});
  return result;
}

function session(method, part) {
  const path = `${method.folder}/${part}.onnx`;
  if (!sessions.has(path)) {
    const url = new URL(path, document.baseURI).href;
    sessions.set(path, once(() => queued(() => ort.InferenceSession.create(url, { executionProviders: ["wasm"] }))));
  }
  return sessions.get(path)();
}

async function output(method, part, values, shape) {
  const network = await session(method, part);
  const found = await queued(() => network.run({ [network.inputNames[0]]: new ort.Tensor("float32", values, shape) }));
  return found[network.outputNames[0]].data;
}

/** An image float32 [c * h * w] -> its code along the principal directions. */
export async function encode(data, method, image) {
  const shape = [1, data.channels, data.height, data.width];
  const [code, codes] = await Promise.all([output(method, "encoder", image, shape), method.codes()]);
  return along(code, codes);
}

/** A code along the principal directions -> an image float32 [c * h * w] in [0, 1]. */
export async function decode(method, code) {
  const codes = await method.codes();
  return output(method, "decoder", whole(code, codes), [1, codes.d]);
}

/** Codes along the principal directions [n * d] -> class and probability of each, by the linear probe. */
export async function classify(method, codes) {
  const made = await method.codes();
  const n = codes.length / made.d;
  const logits = await output(method, "probe", whole(codes, made), [n, made.d]);
  const classes = logits.length / n;
  return Array.from({ length: n }, (_, k) => verdict([...logits.subarray(k * classes, (k + 1) * classes)]));
}
