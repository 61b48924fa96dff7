"""The explorer's page in a browser: every view, beside what torch computes; and files that are no image."""

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import DEMO, counted, run
from msgspec.structs import replace
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from torch.nn import functional

from latents import config, data, export, images
from latents.device import to_float
from latents.faults.copies import SNAKEMAKE, copy_checkout
from latents.methods import METHODS
from latents.model import load_model
from latents.record import ROOT

CHROMIUM = shutil.which("chromium")
MODULES = ROOT / "web/node_modules"
FEWER = "config/fewer.yaml"
SHOWN = ("pca", "autoencoder-plus", "guided", "contrastive")
VIEWS = ("map", "rebuild", "walk", "own", "squeeze")
PIXEL = 0.01  # mean error of a drawn pixel beside torch's: codes, weights and drawn pixels in 8 bits
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; on Debian: apt-get install chromium"),
    pytest.mark.skipif(not MODULES.exists(), reason="no web/node_modules; npm ci --prefix web makes it"),
]


@pytest.fixture(scope="module")
def built(demo, tmp_path_factory):
    """A checkout with the demo's results, in which the explorer of four methods was built."""
    folder = copy_checkout(tmp_path_factory.mktemp("explorer") / "checkout")
    for part in ("results", "checkpoints", "data"):
        shutil.copytree(demo[0] / "demo" / part, folder / "demo" / part)
    (folder / "web/node_modules").symlink_to(MODULES)
    study = yaml.safe_load((folder / DEMO).read_text())
    for dataset in study["datasets"].values():
        dataset.pop("sweeps", None)
        dataset["methods"] = {name: dataset["methods"][name] for name in SHOWN}
    (folder / FEWER).write_text(yaml.safe_dump(study))
    command = [SNAKEMAKE, "--cores", "2", "--config", f"study={FEWER}", "--rerun-triggers", "mtime"]
    done = run(folder, *command, "--", "explorer")
    assert done.returncode == 0, done.stdout[-3000:]
    assert not {"train", "evaluate", "tsne"} & counted(done.stdout).keys()
    return folder


@pytest.fixture(scope="module")
def address(built, tmp_path_factory):
    """The page under a sub-path of a host on the loopback."""
    root = tmp_path_factory.mktemp("host")
    (root / "some").mkdir()
    (root / "some/place").symlink_to(built / "demo/explorer")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/place/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        # root has no sandbox
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str):
    """A fresh page that asks nobody but its host, and has nothing to complain of."""
    page, wrong = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.set_default_timeout(60_000)
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda one: None if one.url.startswith((address, "blob:", "data:")) else wrong.append(one.url),
    )
    yield page
    page.close()
    assert not wrong


def go(page: Page, address: str, place: str) -> None:
    page.goto("about:blank")
    page.goto(address + place)
    page.wait_for_selector("main section")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the page has computed what it was asked for, and drawn it."""
    page.wait_for_selector("main[aria-busy=false]")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def rgba(page: Page, selector: str) -> np.ndarray:
    """A canvas as uint8 [h, w, 4]."""
    address = page.locator(selector).first.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def drawn(page: Page, selector: str) -> np.ndarray:
    """A canvas as float [c, h, w] in [0, 1], also where its colours are grey."""
    return rgba(page, selector)[:, :, :3].transpose(2, 0, 1) / 255


def number(page: Page, selector: str) -> float:
    return float(re.search(r"[\d.]+", page.locator(selector).inner_text()).group())


class Torch:
    """The networks of a run on MNIST by torch alone, its test images and their exact codes."""

    def __init__(self, built: Path, method: str) -> None:
        study = replace(config.read(built / FEWER), folder=f"{built}/demo/")
        model, self.run, _ = load_model(built / f"demo/checkpoints/mnist/{method}/seed1.safetensors", study)
        with np.load(built / f"demo/results/codes/mnist/{method}/seed1.npz") as arrays:
            codes = {name: arrays[name] for name in ("train", "val")}
        split = data.load(study, "mnist", with_test=True)
        self.networks = export.networks(study, self.run, model, codes, split)
        self.labels = torch.from_numpy(split.test.labels)
        self.images = to_float(torch.from_numpy(split.test.images))
        self.codes = self(self.images, "encoder")
        self.mean = torch.from_numpy(codes["train"]).mean(0)

    @torch.inference_mode()
    def __call__(self, values: torch.Tensor, *names: str) -> torch.Tensor:
        for name in names:
            values = self.networks[name](values)
        return values


@pytest.fixture(scope="module", params=["autoencoder-plus", "guided"])  # a decoder of its own, and none
def by_torch(request, built) -> Torch:
    return Torch(built, request.param)


def tile(by_torch: Torch) -> str:
    return f"figure[data-method={by_torch.run.method}]"


def assert_tile(page: Page, by_torch: Torch, codes: torch.Tensor) -> None:
    """A method's tile shows what torch decodes and classifies of a code [1, d]."""
    place = tile(by_torch)
    wanted = by_torch(codes, "decoder")[0].numpy()
    assert np.abs(drawn(page, f"{place} canvas") - wanted).mean() < PIXEL
    shares = by_torch(codes, "probe").softmax(1)[0]
    top = shares.max().item()
    if top - shares.sort().values[-2] > 0.05:
        assert page.locator(f"{place} .found").inner_text().startswith(f"digit {shares.argmax().item()}")
    shown = re.search(r"(\d+)\s%", page.locator(f"{place} .found").inner_text())
    assert abs(float(shown[1]) / 100 - top) < 0.05  # 8-bit networks; most near a half


# -- every view


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_shown_and_accessible(page: Page, address: str, view: str, scheme: str):
    page.emulate_media(color_scheme=scheme)
    go(page, address, f"#/mnist/{view}?image=7")
    assert page.locator("nav [aria-current=page]").count() == 1
    assert len(page.locator(".about").inner_text()) > 80
    page.locator("summary").click()
    for name in SHOWN:
        assert METHODS[name].about in page.locator("footer").inner_text()
    page.evaluate((MODULES / "axe-core/axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(found => found.violations)")
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_a_phone(page: Page, address: str, view: str):
    page.set_viewport_size({"width": 360, "height": 740})
    go(page, address, f"#/cifar10/{view}?image=7")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_choosing_on_one_map_chooses_in_all_and_lists_the_nearest_by_each_code(page, address, by_torch):
    go(page, address, "#/mnist/map?image=7")
    codes = functional.normalize(by_torch.codes - by_torch.mean, dim=1)
    order = (codes @ codes[7]).argsort(descending=True).tolist()
    row = page.locator("tbody tr").nth(SHOWN.index(by_torch.run.method))
    found = [
        int(re.search(r"\d+", text)[0])
        for text in row.locator("button").evaluate_all("all => all.map(one => one.title)")
    ]
    assert len(found) == 10 and 7 not in found
    assert found[0] in order[1:4]
    assert len({*found} & {*order[1:13]}) >= 9  # codes are kept in 8 bits
    row.locator("button").first.click()
    expect(page.locator(".index")).to_have_value(str(found[0]))
    assert f"image={found[0]}" in page.url
    says = row.locator("td").first.inner_text()
    assert says == f"digit {by_torch(by_torch.codes[found[0]][None], 'probe').argmax().item()}"
    page.go_back()
    settle(page)
    expect(page.locator(".index")).to_have_value("7")
    page.get_by_role("link", name="Reconstructions").click()
    page.wait_for_selector("main section.rebuild", state="attached")
    assert "image=7" in page.url


def test_maps_are_moved_by_keyboard_and_pointer(page, address):
    go(page, address, "#/mnist/map?image=7&class=3")  # of a class that is not black
    canvas = page.locator(".plot canvas").first
    canvas.focus()
    before = drawn(page, ".plot canvas")
    page.keyboard.press("ArrowRight")
    settle(page)
    chosen = page.locator(".index").input_value()
    assert chosen != "7"
    assert f"image={chosen}" in page.url
    assert f"Test image {chosen}" in page.locator("#said").inner_text()
    for _ in range(4):
        page.keyboard.press("+")
    settle(page)
    after = drawn(page, ".plot canvas")
    assert np.abs(after - before).mean() > 0.01
    row, column = middle_of_ring(page)
    assert abs(row - after.shape[1] / 2) < 2 and abs(column - after.shape[2] / 2) < 2
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + column, box["y"] + row)
    page.wait_for_selector(".pointed:not([hidden])")
    expect(page.locator(".pointed:not([hidden])")).to_have_text(chosen)


def middle_of_ring(page: Page) -> np.ndarray:
    """Row and column of the middle of the black ring round the chosen image on the first map."""
    black = np.argwhere((rgba(page, ".plot canvas") == (0, 0, 0, 255)).all(2))
    return (black.min(0) + black.max(0)) / 2


def test_where_no_image_lies_further_an_arrow_says_so(page, address):
    go(page, address, "#/mnist/map?image=7")
    page.locator(".plot canvas").first.focus()
    for _ in range(100):
        page.keyboard.press("ArrowLeft")
        settle(page)
        if page.locator("#said").inner_text() == "No further image in this direction.":
            return
    pytest.fail("a hundred images lie in one direction")


def test_the_wheel_scrolls_the_page_over_a_map_and_zooms_with_ctrl(page, address):
    go(page, address, "#/mnist/map?image=7")
    box = page.locator(".plot canvas").first.bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 1)  # at no point
    before = drawn(page, ".plot canvas")
    page.mouse.wheel(0, 120)
    expect(page.locator("h1")).not_to_be_in_viewport()
    assert np.abs(drawn(page, ".plot canvas") - before).mean() < 0.001
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    settle(page)
    assert np.abs(drawn(page, ".plot canvas") - before).mean() > 0.01


def test_the_keyboard_keeps_its_place(page, address):
    """What has the focus is not replaced by what it changes."""
    go(page, address, "#/mnist/map?image=7")
    for place, *keys in (
        (".legend button >> nth=2", "Enter"),
        ("tbody tr:nth-child(3) .thumbnail >> nth=4", "Enter"),
        ("nav a >> nth=2", "Enter"),
        (".end:nth-child(2) select", "ArrowDown", "ArrowUp"),
        (".end:nth-child(2) .index", "9", "Enter"),
    ):
        page.locator(place).focus()
        for key in keys:
            page.keyboard.press(key)
        settle(page)
        same = place.partition(" >>")[0]
        assert page.evaluate("place => document.activeElement.matches(place)", same), place
    assert "#/mnist/walk" in page.url


def test_the_skip_link_leads_to_the_view_and_leaves_it_as_it_is(page, address):
    go(page, address, "#/cifar10/rebuild?image=7")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/cifar10/rebuild?image=7")


def test_maps_are_coloured_and_restricted_to_a_class(page, address):
    go(page, address, "#/mnist/map")
    by_class = drawn(page, ".plot canvas")
    page.get_by_label("Colour").select_option("error")
    settle(page)
    assert np.abs(drawn(page, ".plot canvas") - by_class).mean() > 0.01
    page.get_by_role("button", name="digit 3", exact=True).click()
    settle(page)
    assert (drawn(page, ".plot canvas") > 0).mean() < 0.3 * (by_class > 0).mean()
    assert "colour=error" in page.url and "class=3" in page.url


def test_of_a_number_that_is_not_on_the_map_the_next_is_shown_or_a_sentence(page, address, built):
    described = json.loads((built / "demo/explorer/mnist/dataset.json").read_text())
    described["index"] = [2 * number for number in described["index"]]
    last, n = max(described["index"]), len(described["index"])
    page.route("**/mnist/dataset.json", lambda route: route.fulfill(json=described))
    go(page, address, "#/mnist/map")
    box, hint = page.locator(".index"), page.locator(".field .hint")
    first = box.input_value()
    box.fill("99999")
    box.press("Enter")
    expect(hint).to_have_text(f"The map's last test image is {last}.")
    expect(box).to_have_value(first)
    box.fill(str(last - 1))
    box.press("Enter")
    expect(hint).to_have_text(f"Test image {last - 1} is not among the {n:,} of the map; {last} is the next.")
    expect(box).to_have_value(str(last))
    assert f"image={last}" in page.url


def test_an_address_with_an_unknown_image_is_told_of_until_another_is_chosen(page, address):
    go(page, address, "#/mnist/walk?a=class3&b=123456")
    told = page.locator(".notice")
    expect(told).to_contain_text("There is no test image 123456 among the")
    page.get_by_role("button", name="Random").first.click()
    settle(page)
    expect(told).to_have_count(0)
    go(page, address, "#/mnist/walk?a=class3")
    expect(told).to_have_count(0)


@pytest.mark.parametrize("k", [7, 123])
def test_rebuild_draws_and_classifies_what_torch_does(page, address, by_torch, k):
    go(page, address, f"#/mnist/rebuild?image={k}")
    assert_tile(page, by_torch, by_torch.codes[k][None])
    original = by_torch.images[k].numpy()
    assert np.abs(drawn(page, ".large") - original).max() < 1e-6
    wanted = np.abs(by_torch(by_torch.codes[k][None], "decoder")[0].numpy() - original).mean()
    assert abs(number(page, f"{tile(by_torch)} .number") - wanted) < 0.003


def test_rebuild_finds_what_guided_classifies_correctly_and_cannot_rebuild(page, address):
    go(page, address, "#/mnist/rebuild")
    page.get_by_role("button", name="Find the next").click()
    settle(page)
    assert "image=" in page.url
    said = page.locator("section > .hint").first
    expect(said).to_contain_text(re.compile(r"^Number 1 of the \d+ images that Guided classifies correctly"))
    place = "figure[data-method=guided]"
    assert "wrong" not in page.locator(f"{place} .found").get_attribute("class").split()
    assert number(page, f"{place} .number") > 1.5 * number(page, "figure[data-method=pca] .number")
    first = page.url
    page.get_by_role("button", name="Find the next").click()
    settle(page)
    second = page.url
    assert second != first
    page.go_back()
    settle(page)
    assert page.url == first
    expect(said).to_contain_text("Number 1 of the")
    expect(page.locator(".index")).to_have_value(re.search(r"image=(\d+)", first)[1])
    page.get_by_role("button", name="Find the next").click()
    settle(page)
    assert page.url == second
    page.get_by_label("By").select_option("pca")
    expect(said).to_have_text("")  # what was found is of another method


@pytest.mark.parametrize("path", ["line", "spherical"])
def test_walk_draws_the_code_between_two(page, address, by_torch, path):
    go(page, address, f"#/mnist/walk?a=3&b=4&t=0.3&path={path}")
    a, b = (by_torch.codes[k] - by_torch.mean for k in (3, 4))
    first, second = 0.7, 0.3
    if path == "spherical":
        angle = torch.acos(functional.cosine_similarity(a, b, dim=0))
        first, second = (torch.sin(share * angle) / torch.sin(angle) for share in (first, second))
    assert_tile(page, by_torch, (by_torch.mean + first * a + second * b)[None])
    fade = 0.7 * by_torch.images[3] + 0.3 * by_torch.images[4]
    assert np.abs(drawn(page, "figure[data-method=Pixels] canvas") - fade.numpy()).max() < 0.003


def test_walk_does_arithmetic_and_follows_directions(page, address, by_torch):
    go(page, address, "#/mnist/walk?mode=sum&a=3&b=4&c=5")
    a, b, c = (by_torch.codes[k] for k in (3, 4, 5))
    assert_tile(page, by_torch, (a - b + c)[None])
    go(page, address, "#/mnist/walk?mode=sum&image=3")
    names = page.locator(".end canvas").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert len({name.partition(", ")[2] for name in names}) == 3  # images of three classes
    go(page, address, "#/mnist/walk?mode=directions&a=3")
    before = drawn(page, f"{tile(by_torch)} canvas")
    page.get_by_label("Direction 1").fill("2")
    settle(page)
    assert np.abs(drawn(page, f"{tile(by_torch)} canvas") - before).mean() > 0.005
    assert "d1=2" in page.url
    page.get_by_label("Codes to draw").select_option("sum")
    settle(page)
    page.go_back()
    settle(page)
    assert "mode=directions" in page.url and "d1=2" in page.url
    expect(page.get_by_label("Direction 1")).to_have_value("2")


def test_walk_finds_a_pair_with_a_third_class_between(page, address):
    go(page, address, "#/mnist/walk")
    page.get_by_role("button", name="a third class between").click()
    settle(page)
    said = page.locator("section > .hint").first.inner_text()
    third, *ends = re.findall(r"digit \d", said)
    assert third not in ends
    strip = page.locator("[data-method=contrastive] .strip").get_attribute("aria-label")
    assert strip.startswith(f"classes on the way: {ends[0]}, then ")
    assert third in strip and strip.endswith(ends[1])
    told = page.locator("section > .hint").first
    page.get_by_label("Way from the first to the second").fill("0")
    settle(page)
    expect(told).to_have_text(said)
    page.get_by_role("button", name="Random").first.click()
    settle(page)
    expect(told).to_have_text("")


def test_squeeze_keeps_all_at_8_bits_and_loses_with_fewer_numbers(page, address, by_torch):
    go(page, address, "#/mnist/squeeze?image=7&bits=8")
    assert_tile(page, by_torch, by_torch.codes[7][None])
    share = r"right on (\d+) of 500"
    whole = page.locator(f"{tile(by_torch)} .number").inner_text()
    right = (by_torch(by_torch.codes, "probe").argmax(1) == by_torch.labels).double().mean().item()
    assert abs(int(re.search(share, whole)[1]) - 500 * right) < 2.5
    page.get_by_label("Numbers kept").fill("2")
    settle(page)
    assert page.locator("section > .hint").inner_text().startswith("The code takes 16 bits (2 bytes)")
    few = page.locator(f"{tile(by_torch)} .number").inner_text()
    assert int(re.search(share, few)[1]) < int(re.search(share, whole)[1])
    assert "kept=2" in page.url


@pytest.mark.parametrize(
    "place",
    [
        "#/cifar10/map?colour=error&class=3&image=5",
        "#/cifar10/rebuild?image=5",
        "#/cifar10/walk?image=3&a=3&b=class2&t=0.25&path=spherical",
        "#/cifar10/squeeze?image=5&bits=3&kept=17",
    ],
)
def test_a_link_reopens_a_view_as_it_was(page, address, place):
    go(page, address, place)
    before = page.locator("main").inner_text()
    values = page.locator("main select, main input").evaluate_all("all => all.map(one => one.value)")
    page.locator("main select, main input").first.evaluate("one => one.dispatchEvent(new Event('change'))")
    kept = page.url
    go(page, address, kept.partition("#")[1] + kept.partition("#")[2])
    assert page.locator("main").inner_text() == before
    assert page.locator("main select, main input").evaluate_all("all => all.map(one => one.value)") == values


@pytest.mark.parametrize(
    "place", ["#/mnist/constructor", "#/mnist/map?colour=constructor", "#/toString/walk?mode=toString"]
)
def test_names_that_no_view_has_are_passed_over(page, address, place):
    go(page, address, place)
    expect(page.locator("main")).not_to_contain_text("cannot be shown")
    assert page.locator("main section.map, main section.walk").count() == 1


def test_a_view_that_was_left_while_it_loaded_changes_nothing(page, address):
    held = []
    page.route("**/mnist/images.webp", lambda route: held.append(route))  # until the next view was asked for
    page.goto(address + "#/mnist/squeeze?image=0&bits=3")
    page.wait_for_selector("main section.squeeze", state="attached")
    page.get_by_role("link", name="Map").click()
    page.wait_for_selector("main section.map", state="attached")
    for one in held:
        one.continue_()
    settle(page)
    assert "/mnist/map" in page.url and "bits" not in page.url
    assert page.locator("main section.squeeze").count() == 0


def test_a_network_that_cannot_be_fetched_is_reported(browser, address):
    page = browser.new_page()
    page.route("**/encoder.onnx", lambda route: route.abort())
    page.goto(address + "#/mnist/own")
    page.wait_for_selector("main section.own")
    picture = file(Image.new("L", (28, 28), 255))
    page.locator("input[type=file]").set_input_files({"name": "a.png", "mimeType": "", "buffer": picture})
    page.wait_for_selector("main p.failed")
    assert page.locator("main p.failed").inner_text().startswith("Something failed: ")
    page.close()


# -- own images


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def give(page: Page, address: str, name: str, content: bytes, dataset: str = "mnist") -> None:
    """Open the view of own images, and give it a file."""
    go(page, address, f"#/{dataset}/own")
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": content})
    settle(page)


def test_an_own_image_is_encoded_rebuilt_and_classified_as_torch_does(page, address, by_torch):
    image = by_torch.images[7]
    give(page, address, "seven.png", file(Image.fromarray((255 * image[0]).byte().numpy())))
    assert np.abs(drawn(page, ".large") - image.numpy()).max() < 1e-6
    assert_tile(page, by_torch, by_torch(image[None], "encoder"))
    row = page.locator("tbody tr").nth(SHOWN.index(by_torch.run.method))
    assert row.locator("button").first.get_attribute("title").startswith("test image 7:")
    kept = page.url
    go(page, address, kept[len(address) :])
    assert np.abs(drawn(page, ".large") - image.numpy()).max() < 1e-6


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "broken.png",
            file(Image.new("RGB", (40, 40), "red"))[:60],
            "broken.png: damaged or cut short",
        ),
        ("empty.png", b"", "empty.png: an empty file; copy it anew."),
        ("letter.txt", b"Dear reader", "letter.txt: not a picture that the browser can read"),
        (
            "huge.png",
            file(Image.new("1", (9000, 9000))),
            "huge.png: too large (9000 x 9000 pixels); make it smaller.",
        ),
        ("long.png", file(Image.new("L", (900, 9))), "long.png: 900 x 9 pixels, too long and narrow"),
        ("clear.png", file(Image.new("RGBA", (40, 40), (0, 0, 0, 0))), "clear.png: wholly transparent"),
    ],
)
def test_what_is_no_fit_picture_gets_a_sentence(page, address, name, content, said):
    give(page, address, name, content)
    expect(page.locator("[role=alert].hint").first).to_contain_text(said)
    assert page.locator(".tiles").is_hidden()


def sketch(mode: str, ground: object, ink: object) -> Image.Image:
    """An upright L, so that it is seen which side is up."""
    image = Image.new(mode, (280, 280), ground)
    image.paste(ink, (80, 40, 120, 240))
    image.paste(ink, (80, 200, 200, 240))
    return image


TURNED = Image.Exif()
TURNED[274] = 6  # to be shown turned by 90 degrees


@pytest.mark.parametrize(
    ("dataset", "name", "content"),
    [
        ("mnist", "black-on-transparent.png", file(sketch("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)))),
        ("cifar10", "black-on-transparent.png", file(sketch("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)))),
        (
            "cifar10",
            "turned.jpg",
            file(sketch("RGB", "navy", "orange").rotate(90), "JPEG", exif=TURNED, quality=95),
        ),
        ("mnist", "turned.jpg", file(sketch("L", 0, 255).rotate(90), "JPEG", exif=TURNED, quality=95)),
        ("cifar10", "transparent-grey.png", file(sketch("LA", (0, 0), (255, 255)))),
    ],
)
def test_transparent_and_turned_pictures_become_what_latents_encode_makes_of_them(
    page, address, tmp_path, dataset, name, content
):
    (tmp_path / name).write_bytes(content)
    wanted = images.read_image(str(tmp_path / name), dataset) / 255
    give(page, address, name, content, dataset)
    found = drawn(page, ".large")
    assert np.abs(found - wanted).mean() < 0.02  # the browser does not resize by Lanczos


def draw(page: Page, *points: tuple[int, int]) -> None:
    """Draw a line on the pad, given in its CSS pixels."""
    page.locator(".pad").scroll_into_view_if_needed()
    box = page.locator(".pad").bounding_box()
    for k, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
        if k == 0:
            page.mouse.down()
    page.mouse.up()
    settle(page)


def test_black_on_white_is_inverted_with_a_word_and_on_request_not(page, address):
    give(page, address, "ink.png", file(sketch("L", 255, 0)))
    assert "Black and white are exchanged" in page.locator("[role=alert].hint").first.inner_text()
    assert drawn(page, ".large").mean() < 0.5
    page.get_by_role("button", name="Do not invert").click()
    settle(page)
    assert drawn(page, ".large").mean() > 0.5
    page.get_by_role("button", name="Clear the pad").click()
    assert page.locator(".tiles").is_visible()  # the file's
    draw(page, (40, 20), (90, 130))
    assert page.get_by_role("button", name="Invert black and white").is_hidden()  # there is no file any more


def test_a_drawn_digit_is_centred_whole_and_classified(page, address):
    go(page, address, "#/mnist/own?image=7")
    draw(page, (40, 20), (140, 20), (90, 130))
    image, pad = drawn(page, ".large")[0], drawn(page, ".pad")
    rows, columns = np.nonzero(image > 0.3)
    assert 18 <= np.ptp(rows) + 1 <= 22
    assert abs(columns.mean() - 13.5) < 1.5 and abs(rows.mean() - 13.5) < 3.5
    assert image[[0, -1]].max() < 0.3
    found = page.locator(".tile .found").all_inner_texts()
    assert sum(text.startswith("digit 7") for text in found) >= 3
    for view in ("Map", "Own image"):  # the drawing stays, and so does the chosen image
        page.get_by_role("link", name=view).click()
        page.wait_for_selector(f"main section[aria-label='{view}']", state="attached")
        settle(page)
    assert np.array_equal(drawn(page, ".large")[0], image)
    assert np.array_equal(drawn(page, ".pad"), pad)
    assert "image=7" in page.url
    page.get_by_role("button", name="Clear the pad").click()
    settle(page)
    assert page.locator(".tiles").is_hidden() and "pixels" not in page.url
