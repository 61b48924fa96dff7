"""The paper's sources in one archive: TeX alone compiles it in an empty folder; same bytes each time."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from made_up import call
from matplotlib.figure import Figure

from latents.cli import Problem
from latents.report import arxiv, typeset

pytestmark = pytest.mark.skipif(not shutil.which("latexmk"), reason="TeX is not installed (make tex)")

SOURCE = r"""\pdfinfoomitdate=1 \pdftrailerid{} \pdfsuppressptexinfo=-1
\documentclass{article}
\usepackage{natbib,graphicx}
\graphicspath{{../../figures/}}
\input{../generated/macros}
\begin{document}
Text \citep{known}, \answer, see figure \ref{one}. BODY
\begin{figure}\includegraphics{one}\caption{One.}\label{one}\end{figure}
\bibliographystyle{plainnat}\bibliography{refs}
\end{document}
"""
REFERENCES = "@misc{known, author = {A. Author}, title = {A title}, year = {2020}}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources, a generated macro and two figures, one of which the paper does not show."""
    folder = tmp_path_factory.mktemp("sources")
    texts = {"paper.tex": SOURCE, "refs.bib": REFERENCES, "generated/macros.tex": r"\def\answer{42}"}
    for name, text in texts.items():
        (folder / "paper" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "paper" / name).write_text(text)
    for name in ("one", "unused"):
        (folder / "figures").mkdir(exist_ok=True)
        Figure(figsize=(1, 1)).savefig(folder / f"figures/{name}.pdf", metadata={"CreationDate": None})
    return folder


def packed(folder: Path) -> bytes:
    """What the command packs."""
    tex, references = folder / "paper/paper.tex", folder / "paper/refs.bib"
    out = folder / "paper/arxiv.tar.gz"
    call(arxiv, "--tex", tex, "--references", references, "--out", out)
    return out.read_bytes()


@pytest.fixture(scope="module")
def content(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive, packed in a copy."""
    return packed(Path(shutil.copytree(folder, tmp_path_factory.mktemp("packed") / "copy")))


@pytest.fixture
def files(content: bytes) -> dict[str, bytes]:
    """What is in it: name -> content."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}


def test_the_archive_has_what_the_paper_reads_and_no_path_out_of_its_folder(
    folder: Path, files: dict[str, bytes]
) -> None:
    assert [*files] == ["figures/one.pdf", "generated/macros.tex", "paper.bbl", "paper.tex"]
    assert not any(b"../" in content for name, content in files.items() if not name.endswith(".pdf"))
    assert files["figures/one.pdf"] == (folder / "figures/one.pdf").read_bytes()


def test_tex_alone_makes_the_same_paper_of_it_in_an_empty_folder(
    folder: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / "empty" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "empty" / name).write_bytes(content)
    command = [*arxiv.PDFLATEX, "paper.tex"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path / "empty", capture_output=True, check=True)
    copy = shutil.copytree(folder, tmp_path / "copy") / "paper"
    typeset.typeset(copy / "paper.tex", copy / "refs.bib", copy / "paper.pdf")
    assert (tmp_path / "empty/paper.pdf").read_bytes() == (copy / "paper.pdf").read_bytes()


def test_the_same_paper_gives_the_same_archive_without_times_and_owners(
    folder: Path, content: bytes, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "figures/one.pdf").touch()
    assert packed(copy) == content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert {(one.mtime, one.uid, one.uname, one.mode) for one in archive} == {(0, 0, "", 0o644)}


def test_sources_with_an_unresolved_reference_are_refused_and_no_archive_is_written(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "paper/paper.tex").write_text(SOURCE.replace("BODY", r"\ref{nowhere}"))
    with pytest.raises(SystemExit, match="reference nowhere is undefined"):
        packed(copy)
    assert not (copy / "paper/arxiv.tar.gz").exists()


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("paper.bbl", "citation known is undefined"),
        ("figures/one.pdf", "File `one' not found"),
        ("generated/macros.tex", "File `generated/macros.tex' not found"),
    ],
)
def test_an_archive_that_lacks_a_part_does_not_pass_its_check(
    folder: Path, files: dict[str, bytes], lacking: str, said: str
) -> None:
    del files[lacking]
    with pytest.raises(Problem, match=said):
        arxiv.check(files, folder / "paper/paper.tex", folder / "paper/refs.bib")
