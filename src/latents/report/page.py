"""A table of the paper as a web page, for Snakemake's report (`make report`).

    python -m latents.report.page --table paper/generated/table_cost.tex --out paper/generated/table_cost.html

Reads the TeX of the table, so that page and paper print the same, and knows just what is in it: booktabs
tabulars as `tex.tabular` writes them. Takes a moment.
"""

import re
from html import escape

from latents import cli, record
from latents.cli import Problem
from latents.record import again
from latents.report.read import read_text

TABLES = {  # written by latents.report.tables: what each shows
    "settings": "Settings of the trained methods, the reference classifier, and the decoder on frozen codes.",
    "tuning": "Settings of each method that were tried on validation before those of the study were fixed.",
    "accuracy": "Test accuracy (%) of every probe: mean and half the 95 % interval over seeds.",
    "splits": "Accuracy (%) on each split of the probe that is chosen on validation.",
    "reconstruction": "Reconstruction of test images by each method's decoder and by that on frozen codes.",
    "separability": "Geometry of the test codes: means over seeds.",
    "nuisance": "How well a linear map of the code tells what no label says: R² on test, means over seeds.",
    "further": "Decoders by epochs, probes on the features before the bottleneck, and codes with noise.",
    "interpolation": "Interpolations between test images: path length, class changes, reference classifier.",
    "ablation": "Variants: the numbers that they are chosen by, on validation, and those on test.",
    "cost": "Parameters, training operations, and minutes of training and evaluation for one seed.",
    "methods": "The methods, and which of them see labels in training.",
}
CAPTIONS = TABLES | {  # and by latents.report.claims and latents.report.speed
    "claims": "The paper's claims: difference, 95 % interval, and p after Holm's correction.",
    "speed": "Images per second in training, beside the ordinary loop.",
}
HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<style>
body {{ font: 15px sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
caption {{ text-align: left; padding-bottom: 1em; }}
thead, tbody {{ border-top: 1px solid; border-bottom: 1px solid; }}
th, td {{ font-weight: normal; padding: 0.2em 0.8em; text-align: right; vertical-align: top; }}
th:first-child, .text {{ text-align: left; }}
.span {{ text-align: center; }}
td:not(.text) {{ white-space: nowrap; }}
</style>
"""
SYMBOLS = {
    r"\bfseries ": "",
    r"\pm": "±",
    r"\textdagger{}": "†",
    r"\times": "×",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textbackslash{}": "\\",
    r"\percent": " %",
    r"\textit": "",
    r"\SI": "",
    r"\ ": " ",
    "--": "–",
}
TOKEN = re.compile("|".join([*map(re.escape, SYMBOLS), r"\\[&%$#_{}]", "[{}$]"]))
SPAN = re.compile(r"\\multicolumn\{(\d+)\}\{(?:[^{}]|\{\})*\}\{(.*)\}")
NUMBER = re.compile(r"-?[\d.]+( ± [\d.]+)?|–|")


def plain(tex: str) -> str:
    """The text of a cell: symbols as characters, without braces and math shifts."""
    return TOKEN.sub(lambda found: SYMBOLS.get(found[0], found[0][1:]), tex).strip()


def cell(tex: str, tag: str) -> str:
    """A cell of a tabular as one of HTML, `th` or `td`; words stand on the left, numbers on the right."""
    span = SPAN.fullmatch(tex.strip())
    text = plain(span[2] if span else tex)
    kind = "span" if span and tag == "th" else "text" if tag == "td" and not NUMBER.fullmatch(text) else ""
    attributes = (f' colspan="{span[1]}"' if span else "") + (f' class="{kind}"' if kind else "")
    return f"<{tag}{attributes}>{escape(text)}</{tag}>"


def rows(lines: str, tag: str) -> list[str]:
    """The lines of a tabular, or of a part of it, as rows of HTML."""
    found = [line for line in lines.splitlines() if line and not line.startswith(r"\cmidrule")]
    split = [line.removesuffix(r"\\").split(" & ") for line in found]
    return ["<tr>" + "".join(cell(tex, tag) for tex in one) + "</tr>" for one in split]


def tables(tex: str) -> list[str]:
    """Each tabular as the parts of an HTML table."""
    found = []
    for tabular in tex.split(r"\toprule")[1:]:
        head, *groups = tabular.partition(r"\bottomrule")[0].split(r"\midrule")
        parts = ["<thead>", *rows(head, "th"), "</thead>"]
        for group in groups:
            parts += ["<tbody>", *rows(group, "td"), "</tbody>"]
        found.append("\n".join(parts))
    return found


def page(name: str, tex: str) -> str:
    """The page of a table, below its caption."""
    first, *others = tables(tex)
    parts = [f"<caption>{escape(CAPTIONS[name])}</caption>\n{first}", *others]
    return HEAD.format(name=name) + "".join(f"<table>\n{part}\n</table>\n" for part in parts) + "</html>\n"


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("table", "out")).parse_args()
    path = options.table
    name, tex = path.stem.removeprefix("table_"), read_text(path)
    if name not in CAPTIONS:
        raise Problem(f"{path}: no table of the paper; give table_<name>.tex: {', '.join(CAPTIONS)}")
    if not tables(tex) or tex.count(r"\toprule") != tex.count(r"\bottomrule"):
        raise Problem(f"{path}: holds no whole table; {again(path)}")
    record.write_text(options.out, page(name, tex))


if __name__ == "__main__":
    main()
