"""Compiling the paper: no hole passes; neither the user's TeX set-up nor an old build has a part in it."""

import shutil
from pathlib import Path

import pytest

from latents import config
from latents.cli import Problem
from latents.plain import load_yaml
from latents.record import ROOT
from latents.report import typeset

pytestmark = pytest.mark.skipif(not shutil.which("latexmk"), reason="TeX is not installed (make tex)")

SOURCE = r"""\pdfinfoomitdate=1 \pdftrailerid{} \pdfsuppressptexinfo=-1
\documentclass{article}
\usepackage{natbib}
\begin{document}
Text \citep{known}, see section \ref{here}. BODY
\section{One}\label{here}
\bibliographystyle{plainnat}\bibliography{refs}
\end{document}
"""
REFERENCES = "@misc{known, author = {A. Author}, title = {A title}, year = {2020}}\n"


@pytest.fixture
def compiled(tmp_path: Path):
    """A function that compiles the source with a body, and returns the PDF's bytes."""

    def compile_body(body: str = "", out: str = "out/paper.pdf") -> bytes:
        (tmp_path / "paper.tex").write_text(SOURCE.replace("BODY", body))
        (tmp_path / "refs.bib").write_text(REFERENCES)
        typeset.typeset(tmp_path / "paper.tex", tmp_path / "refs.bib", tmp_path / out)
        return (tmp_path / out).read_bytes()

    return compile_body


def test_a_paper_with_citations_and_references_that_exist_is_compiled(compiled) -> None:
    assert compiled().startswith(b"%PDF")


def test_a_paper_with_holes_is_refused_and_all_are_named(compiled, tmp_path: Path) -> None:
    long = "a-key-so-long-that-the-lines-of-the-log-would-be-broken-in-its-middle-and-its-name-lost"
    with pytest.raises(Problem) as caught:
        compiled(rf"\cite{{nosuchkey}} \ref{{nosuchref}} \label{{here}} \cite{{{long}}}")
    named = ("citation nosuchkey is undefined", f"citation {long} is undefined")
    named += ("reference nosuchref is undefined", "label here is multiply defined")
    assert all(name in str(caught.value) for name in named) and "\n" not in str(caught.value)
    assert not (tmp_path / "out/paper.pdf").exists()


def test_an_error_of_tex_is_told_in_its_own_words(compiled) -> None:
    with pytest.raises(
        Problem, match=r"paper\.tex: TeX stopped \(! Undefined control sequence\. l\.5 .*nosuch"
    ):
        compiled(r"\nosuchmacro")


def test_a_users_latexmkrc_has_no_part_in_it(
    compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = compiled()
    (tmp_path / "home").mkdir()
    hostile = '$out_dir="out";\n$preview_continuous_mode=1;\n$pdflatex="false";\n'
    (tmp_path / "home/.latexmkrc").write_text(hostile)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compiled() == plain


def test_a_users_packages_variables_and_dates_have_no_part_in_it(
    compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = compiled(r"\tracingonline=0")
    own = tmp_path / "texmf/tex/latex/own"
    own.mkdir(parents=True)
    (own / "natbib.sty").write_text(r"\errmessage{the user's natbib was read}" + "\n")
    for name, value in (
        ("TEXMFHOME", tmp_path / "texmf"),
        ("TEXINPUTS", f"{own}:"),
        ("TEXINPUTS_latex", f"{own}:"),
        ("BSTINPUTS", "/nowhere"),
        ("BIBINPUTS", "/nowhere"),
        ("TEXMFOUTPUT", tmp_path),
        ("openout_any", "r"),
        ("SOURCE_DATE_EPOCH", "1"),
        ("max_print_line", "20"),
        ("error_line", "5"),
        ("main_memory", "1"),
        ("TFMFONTS", "/nowhere"),
        ("PERL5OPT", "-MNoSuchModule"),
    ):
        monkeypatch.setenv(name, str(value))
    assert compiled(r"\tracingonline=0") == plain


def test_an_error_of_bibtex_is_told_in_its_own_words(compiled, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(globals(), "REFERENCES", "@misc{known, author = {A. Author\n")
    with pytest.raises(Problem, match=r"paper\.tex: TeX stopped \(.*---line \d+ of file refs\.bib"):
        compiled()


def test_what_an_earlier_build_left_has_no_part_in_it(compiled, tmp_path: Path) -> None:
    plain = compiled()
    stale = tmp_path / "out/build"
    for name in ("paper.aux", "paper.bbl", "paper.fdb_latexmk", "article.cls", ".latexmkrc"):
        (stale / name).write_text("stale { \n")
    assert compiled() == plain


def test_a_study_without_a_part_of_what_the_paper_discusses_gets_the_sheet() -> None:
    plain = load_yaml(ROOT / "config/demo.yaml")
    mnist = {"datasets": {"mnist": plain["datasets"]["mnist"]}}
    shares = {"measurement": plain["measurement"] | {"label-shares": []}}
    without_sweeps = {
        "datasets": {
            name: {key: value for key, value in one.items() if key != "sweeps"}
            for name, one in plain["datasets"].items()
        }
    }
    assert typeset.source(config.from_plain("whole.yaml", plain)) == "paper/paper.tex"
    for lacking in (mnist, shares, without_sweeps):
        assert typeset.source(config.from_plain("part.yaml", plain | lacking)) == "paper/sheet.tex"


def test_where_tex_is_missing_the_message_says_how_to_install_it(
    compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Problem, match=r"latexmk: not found; install TeX \(make tex\)"):
        compiled()
