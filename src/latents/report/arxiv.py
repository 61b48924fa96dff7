r"""The paper's sources in one archive that TeX alone compiles, for arXiv or for a reader.

    python -m latents.report.arxiv --tex paper/paper.tex --references paper/refs.bib --out paper/arxiv.tar.gz

compiles the paper as latents.report.typeset does, and packs what TeX read: the source, its bibliography as
.bbl, and in generated/ and figures/ the macros, tables and figures. Before the archive is written, its files
are compiled in an empty folder by pdflatex alone, twice. The same paper gives the same bytes. Half a minute.
"""

import gzip
import io
import re
import tarfile
import tempfile
from pathlib import Path

from latents import cli, record
from latents.report import typeset

FOLDERS = {"../../figures/": "figures/", "../generated/": "generated/"}  # in the source: in the archive
PDFLATEX = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error")


def sources(build: Path, tex: str) -> dict[str, bytes]:
    """What TeX read of the paper when it was compiled in `build`: name in the archive -> content."""
    source, found = (build / tex).read_text(encoding="utf-8"), {}
    read = (build / tex).with_suffix(".fls").read_text(encoding="utf-8")  # latexmk's list of files
    for there, here in FOLDERS.items():
        source = source.replace(there, here)
        for name in re.findall(rf"^INPUT {re.escape(there)}/?(.+)$", read, re.MULTILINE):
            found[here + name] = (build / there / name).read_bytes()
    if (bibliography := (build / tex).with_suffix(".bbl")).exists():
        found[bibliography.name] = bibliography.read_bytes()
    return found | {tex: source.encode()}


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz of the files, in the order of their names and without times or owners."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return gzip.compress(content.getvalue(), mtime=0)


def check(files: dict[str, bytes], tex: Path, references: Path) -> None:
    """Compile the files in an empty folder, without BibTeX. Raises Problem, for what is undefined too."""
    with tempfile.TemporaryDirectory() as name:
        for inside, content in files.items():
            record.write_bytes(Path(name) / inside, content)
        for _ in range(2):
            typeset.run(PDFLATEX, tex, Path(name))
        typeset.refuse_holes(tex, references, Path(name))


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("tex", "references", "out")).parse_args()
    tex, references, build = options.tex, options.references, options.out.resolve().with_name("build")
    typeset.compiled(tex, references, build)
    files = sources(build, tex.name)
    check(files, tex, references)
    record.write_bytes(options.out, packed(files))


if __name__ == "__main__":
    main()
