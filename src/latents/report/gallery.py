"""The pages that show the committed run: the gallery of figures, docs/results.md, and the README's tables.

    python -m latents.report.gallery --config reference/study.yaml --reference reference \
        --out figures/README.md --readme README.md --results-page docs/results.md

In README.md, what is between two marks is written anew, so that no number there is typed. `make reference`
runs it. Takes a second.
"""

from pathlib import Path

from latents import cli, config, record
from latents.cli import Problem
from latents.report.figures import caption, figure_patterns, figure_targets
from latents.report.read import read_text
from latents.report.results_page import readme_methods, readme_results, results_page
from latents.study import Study

SCRIPTS = "src/latents/report/figures"
OPENING = (
    "# Figures\n\n"
    "Written by `make reference` from the run in `reference/`; do not edit. Each figure is a target:\n"
    "`snakemake --cores 1 figures/NAME.pdf` makes it with just the steps that it needs, and\n"
    "`snakemake --cores 1 from-reference/figures/NAME.pdf --config results=reference` draws it in seconds "
    "from `reference/`.\n"
)


def gallery(study: Study, reference: Path) -> str:
    """figures/README.md: each figure with script and inputs. Raises Problem when a picture is missing."""
    parts = [OPENING]
    for name, script, dataset in figure_targets(study):
        picture = reference / "figures" / f"{name}.png"
        if not picture.is_file():
            raise Problem(f"{picture}: missing; finish the study (make study), then run make reference")
        folder, path, words = (
            "reference" if script == "speed" else "results",
            f"{SCRIPTS}/{script}.py",
            caption(script),
        )
        reads = ", ".join(f"`{folder}/{pattern}`" for pattern in figure_patterns(script, dataset))
        parts.append(
            f"## `figures/{name}.pdf`\n\n![{words}](../reference/figures/{name}.png)\n\n{words}\n\n"
            f"Script [`{path}`](../{path}); reads {reads}.\n"
        )
    return "\n".join(parts)


def between_marks(text: str, name: str, content: str, path: Path) -> str:
    """`text` with new content between the two marks of this name. Raises Problem where they are missing."""
    begin, end = f"<!-- {name}: written by `make reference` -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Problem(f"{path}: the marks {begin} and {end} are missing; put them where the {name} belong")
    return f"{before}{begin}\n{content}\n{end}{after}"


@cli.command
def main() -> None:
    paths = ("reference", "out", "readme", "results-page")
    options = cli.parser(__doc__, "config", paths=paths).parse_args()
    study, reference = config.read(options.config), options.reference
    if not options.readme.is_file():
        raise Problem(f"{options.readme}: no such file; give the README whose tables are to be written")
    readme = read_text(options.readme)
    readme = between_marks(readme, "results", readme_results(study, reference), options.readme)
    readme = between_marks(readme, "methods", readme_methods(study), options.readme)
    pages = {
        options.out: gallery(study, reference),
        options.results_page: results_page(study, reference),
        options.readme: readme,
    }
    for path, text in pages.items():
        record.write_text(path, text)


if __name__ == "__main__":
    main()
