// The page: reads the address behind the #, shows its data set and view, and keeps the address up to date.
//
//   #/<data set>/<view>?image=<number in the test set>&...

import { loadDataset } from "./data.js";
import { map } from "./map.js";
import { own } from "./own.js";
import { rebuild } from "./rebuild.js";
import { squeeze } from "./squeeze.js";
import { busy, el, onTheme } from "./ui.js";
import { walk } from "./walk.js";

const VIEWS = { map, rebuild, walk, own, squeeze };
const NAMES = { map: "Map", rebuild: "Rebuild", walk: "Walk", own: "Own image", squeeze: "Squeeze" };

const loaded = {};
const at = (id) => document.getElementById(id);
let [dataset, view, shown] = ["", "", ""];

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, second] = path.split("/");
  dataset = DATASETS.includes(first) ? first : DATASETS[0];
  view = second in VIEWS ? second : "map";
  return new URLSearchParams(query);
}

const address = (set, name, values) => `#/${set}/${name}${values.size ? `?${values}` : ""}`;

/** What a view keeps in the address: `get`, `set`, and the position of the chosen image. */
class State {
  constructor(data, values) {
    Object.assign(this, { data, values });
  }

  get(name, otherwise) {
    return this.values.get(name) ?? otherwise;
  }

  /** A number from `least` to `most`; what is no such number is `otherwise`. */
  number(name, otherwise, least, most) {
    const value = Number(this.values.get(name) ?? NaN);
    return value >= least && value <= most ? value : otherwise;
  }

  /** The position of a test image; `name` holds its number in the test set. */
  image(name = "image", otherwise = 0) {
    return this.data.position.get(Number(this.values.get(name) ?? NaN)) ?? otherwise;
  }

  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") this.values.delete(name);
      else this.values.set(name, value);
    }
    shown = address(dataset, view, this.values);
    history.replaceState(null, "", shown);
    links(this);
  }
}

/** The links to the views take the chosen image along. */
function links(state) {
  const kept = new URLSearchParams(state.values.has("image") ? { image: state.values.get("image") } : {});
  at("views").replaceChildren(...Object.entries(NAMES).map(([name, text]) =>
    el("a", { href: address(dataset, name, kept), ...(name === view ? { "aria-current": "page" } : {}) }, text)));
}

async function show() {
  const values = parse();
  shown = location.hash;
  at("dataset").value = dataset;
  const current = [dataset, view].join();
  try {
    const data = await (loaded[dataset] ??= loadDataset(dataset));
    if ([dataset, view].join() !== current) return; // another was asked for meanwhile
    const state = new State(data, values);
    links(state);
    at("note").textContent = data.note;
    document.title = `${NAMES[view]}, ${data.label}: Latent Spaces, Three Ways`;
    const root = el("section", { "aria-label": NAMES[view], class: view });
    at("view").replaceChildren(root);
    await VIEWS[view](root, data, state);
  } catch (error) {
    delete loaded[dataset];
    at("view").replaceChildren(el("p", { role: "alert" }, `This view cannot be shown: ${error.message}.`));
    console.error(error);
  }
}

for (const name of DATASETS) {
  at("dataset").append(el("option", { value: name }, name));
  loaded[name] = loadDataset(name);
  loaded[name].then((data) => { at("dataset").querySelector(`[value=${name}]`).textContent = data.label; }, () => {});
}
at("dataset").addEventListener("change", () => { location.hash = address(at("dataset").value, view, new URLSearchParams()); });
window.addEventListener("hashchange", () => { if (location.hash !== shown) busy(show); });
onTheme(() => busy(show));
busy(show);
