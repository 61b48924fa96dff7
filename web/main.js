// The page: reads the address behind the #, shows its data set and view, and keeps the address up to date.
//
//   #/<data set>/<view>?image=<number in the test set>&...

import { loadDataset } from "./data.js";
import { map } from "./map.js";
import { own } from "./own.js";
import { rebuild } from "./rebuild.js";
import { squeeze } from "./squeeze.js";
import { busy, el, methodHead, onTheme } from "./ui.js";
import { walk } from "./walk.js";

const VIEWS = { map, rebuild, walk, own, squeeze };
const NAMES = { map: "Map", rebuild: "Rebuild", walk: "Walk", own: "Own image", squeeze: "Squeeze" };

const loaded = {};
const at = (id) => document.getElementById(id);
const links = Object.entries(NAMES).map(([name, text]) => [name, el("a", {}, text)]);
let [dataset, view, shown] = ["", "", ""];
const given = {}; // the reader's own image, by data set
let turns = 0; // how often a view was asked for: one of an earlier turn has been left

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, second] = path.split("/");
  dataset = DATASETS.includes(first) ? first : DATASETS[0];
  view = Object.hasOwn(VIEWS, second) ? second : "map";
  return new URLSearchParams(query);
}

const address = (set, name, values) => `#/${set}/${name}${values.size ? `?${values}` : ""}`;

/** What a view keeps in the address: `get`, `set`, and the position of the chosen image. */
class State {
  constructor(data, values, turn) {
    Object.assign(this, { data, values, turn });
  }

  get(name, otherwise) {
    return this.values.get(name) ?? otherwise;
  }

  /** A number from `least` to `most`; what is no such number is `otherwise`. */
  number(name, otherwise, least, most) {
    const value = Number(this.values.get(name) || NaN);
    return value >= least && value <= most ? value : otherwise;
  }

  /** The position of a test image; `name` holds its number in the test set. One that is not on the page is told of. */
  image(name = "image", otherwise = 0) {
    const wanted = this.values.get(name);
    const found = this.data.position.get(Number(wanted || NaN));
    if (wanted && found === undefined) {
      const shown = this.data.index[otherwise];
      this.notice = `There is no test image ${wanted} among the ${this.data.n.toLocaleString("en")} of this page; ${shown} is shown.`;
    }
    return found ?? otherwise;
  }

  /** Changes of the address; with `step`, the browser's Back undoes them. */
  set(changes, { step = false } = {}) {
    if (this.turn !== turns) return;
    at("view").querySelector("p.notice")?.remove();
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") this.values.delete(name);
      else this.values.set(name, value);
    }
    const before = shown;
    shown = address(dataset, view, this.values);
    history[step && shown !== before ? "pushState" : "replaceState"](null, "", shown);
    lead(this.values);
  }
}

/** The links to the views take the chosen image along; that to "Own image" leads back to what was given there. */
function lead(values) {
  if (view === "own") given[dataset] = values.get("pixels");
  for (const [name, link] of links) {
    const kept = new URLSearchParams(values.has("image") ? { image: values.get("image") } : {});
    if (name === "own" && given[dataset]) kept.set("pixels", given[dataset]);
    link.href = address(dataset, name, kept);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** What each method is, at the foot of every view. */
function methodsTable({ methods }) {
  const heads = ["method", "what makes its code", "decoder", "probe right (%)", "MAE"];
  return el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...methods.map((method) => el("tr", {}, methodHead(method),
      el("td", {}, method.about), el("td", {}, method.decoder),
      el("td", { class: "numeric" }, method.accuracy), el("td", { class: "numeric" }, method.mae)))));
}

async function show() {
  const values = parse();
  const turn = ++turns;
  shown = location.hash;
  at("dataset").value = dataset;
  lead(values);
  try {
    const data = await (loaded[dataset] ??= loadDataset(dataset));
    if (turn !== turns) return;
    at("note").textContent = data.note;
    at("methods").replaceChildren(methodsTable(data));
    document.title = `${NAMES[view]}, ${data.label}: Latent Spaces, Three Ways`;
    const root = el("section", { "aria-label": NAMES[view], class: view });
    at("view").replaceChildren(root);
    const state = new State(data, values, turn);
    await VIEWS[view](root, data, state);
    if (state.notice && turn === turns) root.prepend(el("p", { role: "status", class: "notice hint" }, state.notice));
  } catch (error) {
    if (turn !== turns) return;
    delete loaded[dataset];
    at("view").replaceChildren(el("p", { role: "alert" }, `This view cannot be shown: ${error.message}.`));
    console.error(error);
  }
}

/** Say what failed after a view was shown, as when a network cannot be fetched; once. */
function failed({ reason }) {
  const said = `Something failed: ${reason?.message ?? reason}. Reload the page to try again.`;
  if (at("view").querySelector("p.failed")?.textContent !== said) {
    at("view").prepend(el("p", { role: "alert", class: "failed" }, said));
  }
}

for (const name of DATASETS) {
  at("dataset").append(el("option", { value: name }, name));
  loaded[name] = loadDataset(name);
  loaded[name].then((data) => { at("dataset").querySelector(`[value=${name}]`).textContent = data.label; }, () => {});
}
at("views").append(...links.map(([, link]) => link));
at("skip").addEventListener("click", (event) => { event.preventDefault(); at("view").focus(); }); // the # is taken
at("dataset").addEventListener("change", () => { location.hash = address(at("dataset").value, view, new URLSearchParams()); });
window.addEventListener("unhandledrejection", failed);
window.addEventListener("hashchange", () => { if (location.hash !== shown) busy(show); });
onTheme(() => busy(show));
busy(show);
