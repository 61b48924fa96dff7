r"""Compile the paper with latexmk, in a folder of its own beside the PDF.

    python -m latents.report.typeset --tex paper/paper.tex --references paper/refs.bib --out paper/paper.pdf

copies the source to build/ beside the PDF, where it reads ../generated and ../../figures. The user's TeX
set-up has no part in it. A citation or reference that is not defined is an error. Ten seconds.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from latents import cli, record
from latents.cli import Problem
from latents.study import Study

LATEXMK = ("latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error")
KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")  # of the user's variables: TeX reads dozens of others
LOG_WIDTH = 1000  # no line of TeX's log is broken
# what paper.tex discusses whatever the study has; the rest of its text is conditional
METHODS = ("pca", "random", "autoencoder", "autoencoder-plus", "guided", "contrastive", "supcon")
VARIANTS = (  # on CIFAR-10
    "autoencoder-plus.ablation.full",
    "autoencoder-plus.trade.classes",
    "guided.labels.1pct",
    "guided.labels.10pct",
)
SHARES = {0.01, 0.1}
HOLE = re.compile(r"(Citation|Reference|Label) [`'](.+?)'.*?(undefined|multiply defined)")


def source(study: Study) -> str:
    """The paper, or for a study that lacks a part of what it discusses, the sheet of tables and figures."""
    needed = {f"{name}/{method}" for name in ("mnist", "cifar10") for method in METHODS}
    needed |= {f"cifar10/{variant}" for variant in VARIANTS}
    found = {f"{run.dataset}/{run.method}" for run in study.runs()}
    whole = needed <= found and set(study.measurement.label_shares) >= SHARES
    return "paper/paper.tex" if whole else "paper/sheet.tex"


def environment(build: Path) -> dict[str, str]:
    """The variables of a compilation: no search path, date, limit or package folder of the user's."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = {name: str(build / "texmf") for name in ("HOME", "TEXMFHOME", "TEXMFCONFIG", "TEXMFVAR")}
    return kept | own | {"LC_ALL": "C.UTF-8", "max_print_line": str(LOG_WIDTH)}


def first_error(build: Path, name: str, printed: str) -> str:
    """What TeX or BibTeX says of the first error, on one line; else the last line that was printed."""
    for suffix, pattern in ((".log", r"^! .*(?:\n.*?)*?(?:^l\.\d+.*)"), (".blg", r"^.*---.*(?:\n : .*)*")):
        path = (build / name).with_suffix(suffix)
        text = path.read_text(encoding="latin-1") if path.exists() else ""
        if found := re.search(pattern, text, re.MULTILINE):
            return " ".join(found.group().split())[:400]
    return (printed.strip().splitlines() or ["it printed nothing"])[-1]


def holes(log: str) -> list[str]:
    """Citations and references that TeX's log calls undefined, and labels that are there twice."""
    return list(dict.fromkeys(f"{kind.lower()} {name} is {what}" for kind, name, what in HOLE.findall(log)))


def run(command: Sequence[str], tex: Path, build: Path) -> None:
    """Compile the copy of a source that is in `build`. Raises Problem with TeX's own message."""
    try:
        done = subprocess.run(
            [*command, tex.name],
            cwd=build,
            env=environment(build),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise Problem(f"{command[0]}: not found; install TeX (make tex), then run again") from None
    printed = done.stdout.decode(errors="replace")
    print(printed)
    if done.returncode:
        said = first_error(build, tex.name, printed)
        raise Problem(f"{tex}: TeX stopped ({said}); mend the source, or what the results lack")


def refuse_holes(tex: Path, references: Path, build: Path) -> None:
    """Raises Problem with what was not defined when `tex` was compiled in `build`."""
    log = (build / tex.with_suffix(".log").name).read_text(encoding="latin-1")
    if found := holes(log):
        raise Problem(f"{tex}: {', '.join(found)}; mend it there or in {references}")


def compiled(tex: Path, references: Path, build: Path) -> Path:
    """Compile in `build`, a folder that is made anew; returns the PDF in it. Raises Problem."""
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    for path in (tex, references):
        shutil.copy(path, build)
    run(LATEXMK, tex, build)
    refuse_holes(tex, references, build)
    return build / tex.with_suffix(".pdf").name


def typeset(tex: Path, references: Path, out: Path) -> None:
    """Compile to `out`. Raises Problem with TeX's own message, or with what is not defined."""
    record.write_bytes(out, compiled(tex, references, out.resolve().with_name("build")).read_bytes())


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("tex", "references", "out")).parse_args()
    typeset(options.tex, options.references, options.out)


if __name__ == "__main__":
    main()
