"""The gallery of figures, and the README's table of results, both from the committed run in reference/.

    python -m latents.report.gallery --config config/study.yaml --reference reference --out figures/README.md --readme README.md

figures/README.md shows each figure with its script and inputs. In README.md what stands between the two marks is
written anew, so that no number there is typed. `make reference` runs it. Takes a second.
"""

import argparse
import ast
from pathlib import Path
from typing import Any

from latents import config, record
from latents.config import ROWS, ROWS_WITH_LABELS, Problem, Study
from latents.report import plan, speed, summarize, tables, tex
from latents.report.figures import targets
from latents.report.summarize import Estimate

SCRIPTS = "src/latents/report/figures"
COLUMNS = {"linear": "accuracy_linear", "MLP": "accuracy_mlp", "kNN": "accuracy_knn", "own head": "accuracy_head", "MAE": "mae", "MAE, frozen code": "mae_frozen", "PSNR (dB)": "psnr"}
BEGIN, END = "<!-- results: written by `make reference` -->", "<!-- end of results -->"


def gallery(study: Study, reference: Path) -> str:
    """figures/README.md. Raises Problem when a picture is missing."""
    parts = [
        "# Figures\n\nWritten by `make reference` from the run in `reference/`; edit nothing here. Any figure is one target:\n"
        "`snakemake --cores 1 figures/NAME.pdf` makes it and just what it needs, and\n"
        "`snakemake --cores 1 from-reference/figures/NAME.pdf --config results=reference` draws it in seconds from `reference/`.\n"
    ]
    for name, script, inputs in targets(study.datasets):
        if not (reference / "figures" / f"{name}.png").is_file():
            raise Problem(f"{reference}/figures/{name}.png: missing; finish the study (make study), then run make reference")
        path = f"{SCRIPTS}/{script}.py"
        what = ast.get_docstring(ast.parse((record.ROOT / path).read_text(encoding="utf-8"))).partition("\n\n")[0].replace("\n", " ")
        reads = ", ".join(f"`{'reference' if script == 'speed' else 'results'}/{pattern}`" for pattern in inputs)
        parts.append(f"## `figures/{name}.pdf`\n\n![{what}](../reference/figures/{name}.png)\n\n{what}\n\nScript [`{path}`](../{path}); reads {reads}.\n")
    return "\n".join(parts)


def shown(estimate: Estimate | None, metric: str) -> str:
    """Mean and half the interval's width, rounded; nothing where the row has no such number."""
    if estimate is None:
        return ""
    digits = 4 if metric.startswith("mae") else 1
    width = f" ± {tex.half_width(estimate, digits)}" if estimate.high is not None else ""
    return f"{estimate.mean:.{digits}f}{width}"


def results(study: Study, reference: Path) -> str:
    """The README's tables, a data set each, and where and how long the run was."""
    summary = summarize.read_summary(reference / "summary.csv")
    cells = list(summarize.records(study, reference))
    times = [seconds for jobs in tables.seconds(study, reference).values() for seconds in jobs]
    device, threads, precision = (tables.joined(cell[key] for cell in cells) for key in ("device", "threads", "precision"))
    lines = []
    for dataset, chosen in study.datasets.items():
        counted = f"{len(chosen.seeds)} seeds, ± half the 95 % interval (Student's t), rounded up" if len(chosen.seeds) > 1 else "one seed, so no interval"
        lines += [f"**{dataset}**, test images, accuracy in percent, MAE on pixels in [0, 1]; {counted}:", ""]
        lines += ["| row | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for row in ROWS:
            name = f"`{row}`" + (" (labels)" if row in ROWS_WITH_LABELS else "")
            values = [shown(summary.get((dataset, row, metric, "test")), metric) for metric in COLUMNS.values()]
            lines.append(f"| {name} | " + " | ".join(values) + " |")
        lines.append("")
    longest = f"the longest job {max(times) / 60:.0f} minutes"
    lines.append(f"Training and measuring took {sum(times) / 3600:.1f} hours ({len(times)} jobs, one after the other; {longest}) on {device}, {threads} threads, {precision} ({tables.processors(study, cells)}).")
    nodes = plan.on_nodes(study, reference, plan.recorded(study, reference)[0], 16)
    lines += ["", "On several such machines (`make plan CONFIG=reference/study.yaml NODES=16`; training, measuring and t-SNE, then figures and paper; no waiting in a queue):", ""]
    lines += ["```", *nodes, "```"]
    return "\n".join([*lines, "", *benchmark(record.read_json(reference / "bench.json"))])


def benchmark(bench: dict[str, Any]) -> list[str]:
    """The lines on speed: each method's loop against the ordinary one, and what the machine gives."""
    found, names = speed.facts(bench), speed.datasets(bench)
    split = f"{found['sprint-accuracy']} % {found['sprint-split']} accuracy ({found['sprint-epochs']} epochs, mean of {found['sprint-seeds']} seeds)"
    return [
        f"**Speed** (`make bench`; {found['processor']}, {found['threads']} threads, {found['precision']}; medians of {found['rounds']} rounds, both loops in turn; ratios are those within a round):",
        "", "| method |" + "".join(f" {name}, images/s, ordinary loop | ours | ratio, both in float32 | ratio | range |" for name in names), "|---" * (1 + 5 * len(names)) + "|",
        *(f"| `{method}` | {' | '.join(cells)} |" for method, cells in speed.speeds(bench).items()),
        "", f"`guided` reaches {split} on CIFAR-10 in {found['sprint-seconds']} s, the whole command timed.",
    ]  # fmt: skip


def between_marks(text: str, content: str, path: Path) -> str:
    """`text` with what stands between the two marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Problem(f"{path}: the marks {BEGIN} and {END} are missing; put them where the results belong")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    for name in ("reference", "out", "readme"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    readme = between_marks(options.readme.read_text(encoding="utf-8"), results(study, options.reference), options.readme)
    record.write_text(options.out, gallery(study, options.reference))
    record.write_text(options.readme, readme)


if __name__ == "__main__":
    main()
