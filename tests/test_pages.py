"""The pages: tables of the paper for the web, gallery of figures, results page and the README's parts."""

import re
from html import unescape
from pathlib import Path

import pytest
from made_up import call

from latents import config, record
from latents.methods import METHODS
from latents.report import gallery, page, results_page, tex
from latents.report.figures import caption, figure_patterns, figure_targets
from latents.report.summarize import read_summary

SPAN = re.compile(r"\\multicolumn\{\d+\}\{(?:@\{\})?[lc]\}\{(.*)\}")


@pytest.mark.parametrize("name", page.CAPTIONS)
def test_a_table_as_a_page_has_the_cells_of_the_paper(whole: Path, tmp_path: Path, name: str) -> None:
    source = whole / f"generated/table_{name}.tex"
    call(page, "--table", source, "--out", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert f"<caption>{page.CAPTIONS[name]}</caption>" in unescape(html)
    found = [unescape(text) for text in re.findall(r"<t[hd](?: [^>]*)?>([^<]*)", html)]
    lines = re.findall(r"^(.*)\\\\$", source.read_text(), re.MULTILINE)
    cells = [cell.strip() for line in lines for cell in line.split(" & ")]
    printed = [page.plain(SPAN.sub(r"\1", cell)) for cell in cells]
    assert found == printed and len(found) > 10
    assert not re.search(r"[\\{}$]", "".join(found))


def test_symbols_spans_and_intervals_of_a_table_are_plain_text_on_its_page() -> None:
    body = [("MNIST", [["Guided†", r"90.1 \pm 0.2", "{--}"]])]
    html = page.page("accuracy", tex.tabular(["", "linear", r"head\ (\%)"], body, [("val", 2)]))
    assert '<tr><th></th><th colspan="2" class="span">val</th></tr>' in html
    assert "<tr><th></th><th>linear</th><th>head (%)</th></tr>" in html
    assert '<tr><td colspan="3" class="text">MNIST</td></tr>' in html
    assert '<tr><td class="text">Guided†</td><td>90.1 ± 0.2</td><td>–</td></tr>' in html


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table_cost.tex", "words", "holds no whole table"),
        ("table_cost.tex", "\\toprule\na & b \\\\\n\\midrule\nc & 1 \\\\", "holds no whole table"),
        (
            "table_other.tex",
            "\\toprule\\bottomrule",
            "no table of the paper; give table_<name>.tex: settings",
        ),
    ],
)
def test_what_is_no_table_of_the_paper_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit, match=rf"^error: .*/{name}: {message}"):
        call(page, "--table", tmp_path / name, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_benchmark_is_the_same_in_macros_table_and_results_page(whole: Path) -> None:
    text = (whole / "generated/macros_speed.tex").read_text()
    macros = dict(re.findall(r"csname fact@bench/(.*?)\\endcsname\{(.*)\}$", text, re.MULTILINE))
    names = ("ratio/cifar10/contrastive", "float32/cifar10/contrastive", "peak-share/guided", "sprint-start")
    assert [macros[name] for name in names] == ["2.3", "2.0", "61", "4.8"]
    assert macros["processor"] == r"Made\_up CPU @ 2 GHz, 100 \% busy"
    assert (macros["widths"], macros["width-seconds"]) == ("64 and 128", "6 and 13")
    assert (macros["tsne-points"], macros["tsne-seconds"]) == ("1,000 and 3,000", "10 and 30")
    assert macros["tsne-other-seconds"] == "10 and 30"
    table = (whole / "generated/table_speed.tex").read_text().replace(r"\textdagger{}", "")
    assert r"\textit{Made\_up CPU @ 2 GHz, 100 \% busy, bfloat16 (cpu)}" in table
    # of MNIST's steps there is no bound
    assert r"\multicolumn{4}{c}{MNIST} & \multicolumn{5}{c}{CIFAR-10}" in table
    assert "Guided & 600 & 1400 & 2.0 & 2.3 & 300 & 700 & 2.0 & 2.3 & 82 " in table
    on_page = words(results_page.speed_part(whole / "results"))
    assert "| CIFAR-10 | `guided` | 300 | 700 | 2.0 | 2.3 | 82 | 2.3 to 2.3 |" in on_page
    assert "| MNIST | `guided` | 600 | 1400 | 2.0 | 2.3 | | 2.3 to 2.3 |" in on_page
    assert "| most memory of a job, GiB | at most 3 | 2.5 |" in on_page
    assert "89.50 % test accuracy (8 epochs, mean of 3 seeds) on CIFAR-10 in 252 s" in on_page


def words(text: str) -> str:
    """A page without the spaces that align it."""
    return re.sub(r"\s+", " ", text)


README = """# A title

<!-- results: written by `make reference` -->
old numbers
<!-- end of results -->
between
<!-- methods: written by `make reference` -->
<!-- end of methods -->
the end
"""


def add_pictures(folder: Path) -> None:
    """Empty files in the place of the figures."""
    for target in figure_targets(config.read(folder / "study.yaml")):
        record.write_bytes(folder / f"results/figures/{target.name}.png", b"")


def write_pages(folder: Path) -> None:
    configured = ("--config", folder / "study.yaml", "--reference", folder / "results")
    out = ("--out", folder / "figures.md", "--results-page", folder / "results.md")
    call(gallery, *configured, "--readme", folder / "README.md", *out)


@pytest.fixture
def written(spoilt: Path) -> Path:
    """A copy with a README, in which the pages are written."""
    (spoilt / "README.md").write_text(README)
    add_pictures(spoilt)
    write_pages(spoilt)
    return spoilt


def test_the_readme_is_written_anew_between_its_marks_and_nowhere_else(written: Path) -> None:
    readme = (written / "README.md").read_text()
    assert readme.startswith(README[: README.index("old numbers")]) and "old numbers" not in readme
    assert "<!-- end of results -->\nbetween\n<!-- methods: written" in readme
    assert readme.endswith("<!-- end of methods -->\nthe end\n")
    shown = words(readme)
    found = read_summary(written / "results/summary.csv")
    best, error = (found["cifar10", "pca", name, "test"].mean for name in ("accuracy_best", "mae_frozen"))
    assert f"| `pca` | {best:.1f} | {error:.4f} | " in shown
    spread = found["mnist", "guided", "accuracy_best", "test"]
    cell = f"{spread.mean:.1f} ± {tex.half_width(spread, 1)}"
    assert f" | {cell} | " in shown[shown.index("| `guided` (labels)") :].split("| `contrastive`")[0]
    for name, method in METHODS.items():
        assert f"`{name}`{' (labels)' if method.sees_labels else ''} | {method.about} |" in shown
    made = "in float32 on MNIST and bfloat16 on CIFAR-10, on Made_up CPU @ 2 GHz, 100 % busy."
    assert made in shown
    write_pages(written)
    assert (written / "README.md").read_text() == readme


@pytest.mark.parametrize(
    ("mark", "name"),
    [("<!-- methods: written by `make reference` -->", "methods"), ("<!-- end of results -->", "results")],
)
def test_a_readme_without_one_of_its_marks_is_refused_and_no_page_written(
    spoilt: Path, mark: str, name: str
) -> None:
    (spoilt / "README.md").write_text(README.replace(mark, ""))
    add_pictures(spoilt)
    message = rf"README\.md: the marks <!-- {name}: .* are missing; put them where the {name} belong"
    with pytest.raises(SystemExit, match=message):
        write_pages(spoilt)
    assert not (spoilt / "figures.md").exists() and not (spoilt / "results.md").exists()


def test_the_results_page_has_every_probe_and_error_the_time_and_the_speed(written: Path) -> None:
    text = (written / "results.md").read_text()
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    machine = "Made_up CPU @ 2 GHz, 100 % busy, bfloat16 (cpu)"
    assert titles == ["Results", "MNIST", "CIFAR-10", "Time", "Speed", machine]
    shown, found = words(text), read_summary(written / "results/summary.csv")
    heads = "method | linear (%) | MLP (%) | kNN (%) | head (%) | MAE | MAE, frozen code | PSNR (dB)"
    assert shown.count(f"| {heads} |") == 2
    metrics = {"accuracy_linear": 1, "accuracy_mlp": 1, "accuracy_knn": 1, "accuracy_head": 1}
    metrics |= {"mae": 4, "mae_frozen": 4, "psnr": 2}
    cells = [f"{found['cifar10', 'supcon', name, 'test'].mean:.{n}f}" for name, n in metrics.items()]
    assert f"| `supcon` (labels) | {' | '.join(cells)} |" in shown
    timings = [record.read_json(path) for path in (written / "results/timing").rglob("seed*.json")]
    hours = sum(one["seconds"] for one in timings) / 3600
    assert f"Training and measuring took {hours:.1f} hours, summed over {len(timings)} jobs" in shown
    assert "one seed, so no interval." in shown and "means over 3 seeds, ± half the 95 %" in shown
    assert all(len(line) <= 110 for line in text.splitlines() if not line.startswith("|"))


def test_the_gallery_has_every_figure_with_its_caption_script_and_inputs(written: Path) -> None:
    text = (written / "figures.md").read_text()
    targets = figure_targets(config.read(written / "study.yaml"))
    titles = re.findall(r"^## `figures/(.*)\.pdf`$", text, re.MULTILINE)
    assert titles == [target.name for target in targets]
    for part, (name, script, dataset) in zip(text.split("\n## ")[1:], targets, strict=True):
        shown = caption(script)
        assert f"![{shown}](../reference/figures/{name}.png)\n\n{shown}\n" in part
        folder = "reference" if script == "speed" else "results"
        read = ", ".join(f"`{folder}/{one}`" for one in figure_patterns(script, dataset))
        assert f"Script [`{gallery.SCRIPTS}/{script}.py`]" in part and f"reads {read}." in part


def test_a_missing_picture_is_named_and_no_page_written(spoilt: Path) -> None:
    (spoilt / "README.md").write_text(README)
    add_pictures(spoilt)
    (spoilt / "results/figures/tsne_mnist.png").unlink()
    with pytest.raises(SystemExit, match=r"figures/tsne_mnist\.png: missing; finish the study"):
        write_pages(spoilt)
    assert not (spoilt / "figures.md").exists() and not (spoilt / "results.md").exists()
    assert (spoilt / "README.md").read_text() == README
