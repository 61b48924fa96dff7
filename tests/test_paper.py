"""The paper's source: no typed result, no stray reference or citation, no input that is not written."""

import re

import pytest
import yaml

from latents.record import ROOT
from latents.report import style
from latents.report.figures import FIGURES
from latents.report.page import CAPTIONS

PAPER = (ROOT / "paper/paper.tex").read_text(encoding="utf-8")
BIBLIOGRAPHY = (ROOT / "paper/refs.bib").read_text(encoding="utf-8")

RESULT_PARTS = {  # where a number is a result: name -> beginning and end
    "abstract": (r"\begin{abstract}", r"\end{abstract}"),
    "introduction": (r"\section{Introduction}", r"\section{Related work}"),
    "results": (r"\section{Results}", r"\section{Limitations}"),
    "further results": (r"\section{Further results}", r"\section{Cost}"),
    "conclusions": (r"\section{Conclusions}", r"\FloatBarrier"),
}
TYPED_NUMBERS = {
    "decimal": r"\d+\.\d+",
    "percentage": r"\d+(?:\\,|~|\s)*(?:\\%|percent\b|per cent\b)",
    "siunitx number": r"\\(?:num|SI|qty)\{\s*[-+\d.][^}]*\}",
}


COMPARISON = "ifmore|threeway|ifabove|ifwithin|highest|lowest"


def without_comments(source: str) -> str:
    return re.sub(r"(?<!\\)%.*", "", source)


def typed_numbers(source: str) -> list[str]:
    """Every decimal or percentage of the source itself, but not in names of numbers (temperature-0.5)."""
    text = re.sub(r"\\(?:val|pc|ci|fact|ifrun|ifnumber|iffigure)\{[^}]*\}", "", without_comments(source))
    return [found for pattern in TYPED_NUMBERS.values() for found in re.findall(pattern, text)]


def arguments(command: str, source: str) -> list[str]:
    """Arguments of every use of a command (a regular expression), split at commas, without optional ones."""
    found = re.findall(rf"\\(?:{command})(?:\[[^]]*\])*\{{([^}}]*)\}}", without_comments(source))
    return [key.strip() for keys in found for key in keys.split(",")]


def cited(source: str) -> set[str]:
    return set(arguments(r"cite[a-z]*\*?", source))


def entries(bibliography: str) -> set[str]:
    return set(re.findall(r"^@\w+\{([^,\s]+),", bibliography, flags=re.MULTILINE))


def labels(source: str) -> set[str]:
    return set(arguments("label", source))


def floats_without_reference(source: str) -> set[str]:
    floats = {label for label in labels(source) if label.startswith(("tab:", "fig:"))}
    return floats - set(arguments("[cC]ref", source))


def float_environments(source: str) -> list[str]:
    pattern = r"\\begin\{(?:table|figure)\}.*?\\end\{(?:table|figure)\}"
    return re.findall(pattern, without_comments(source), flags=re.DOTALL)


@pytest.mark.parametrize("part", RESULT_PARTS)
def test_no_result_is_typed_by_hand(part):
    beginning, end = RESULT_PARTS[part]
    _, found, rest = PAPER.partition(beginning)
    assert found and end in rest, f"the paper has no {part} between {beginning} and {end}"
    assert typed_numbers(rest.partition(end)[0]) == []


@pytest.mark.parametrize(
    "fault",
    [
        r"reaches 92.4 there",
        r"about 92\,\% of them",
        r"92~\% of them",
        "92 per cent",
        r"\SI{92}{\percent}",
        r"\num{0.0443}",
    ],
)
def test_a_typed_result_is_found(fault):
    assert typed_numbers(rf"a code of 128 numbers {fault} and no more")


@pytest.mark.parametrize(
    "source", [r"\pc{cifar10/guided/accuracy_mlp/test} of 128", "% once 92.4 %", r"\winnerval\,\%"]
)
def test_what_the_workflow_wrote_is_not_a_typed_result(source):
    assert typed_numbers(source) == []


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    assert cited(PAPER) == entries(BIBLIOGRAPHY)


def test_a_citation_is_read_in_each_of_its_forms():
    assert cited(r"\citep[see][p.~3]{a, b} \citet{c} % \citep{d}") == {"a", "b", "c"}
    assert entries("@misc{a,\n  note = {b},\n}\n@article{c,\n") == {"a", "c"}


def test_every_float_has_a_label_and_is_referred_to():
    assert all(labels(one) for one in float_environments(PAPER))
    assert floats_without_reference(PAPER) == set()


def test_a_float_that_nothing_refers_to_is_found():
    source = r"\label{tab:a}\label{fig:b}\label{sec:c} \Cref{tab:a,sec:c} % \cref{fig:b}"
    assert floats_without_reference(source) == {"fig:b"}


def test_every_reference_has_a_label():
    assert set(arguments("[cC]ref", PAPER)) <= labels(PAPER)


def test_the_paper_includes_every_table_that_is_written_and_each_has_its_page():
    assert set(arguments("tab", PAPER)) == CAPTIONS.keys()


def test_every_claim_of_the_paper_has_its_check_and_every_check_its_sentence():
    checks = yaml.safe_load((ROOT / "paper/claims.yaml").read_text())["claims"]
    opened = {name for name, check in checks.items() if check.get("open")}
    assert opened and set(arguments("found", PAPER)) - {"#1"} == opened
    assert set(arguments("claim", PAPER)) == checks.keys() - opened
    for part in ("abstract", "introduction", "conclusions"):  # all comparisons are claims, but on few labels
        beginning, end = RESULT_PARTS[part]
        compared = arguments(COMPARISON, PAPER.partition(beginning)[2].partition(end)[0])
        assert all(key.endswith(("_1pct/test", "_10pct/test")) for key in compared)


def test_every_figure_of_the_paper_has_a_script():
    shown = {name.removesuffix("_mnist").removesuffix("_cifar10") for name in arguments("fig", PAPER)}
    assert shown and shown <= FIGURES.keys()


def test_every_figure_is_as_wide_as_the_text_so_that_none_is_scaled():
    width = re.search(r"textwidth=([\d.]+)in", PAPER)
    assert float(width[1]) == style.WIDTH
    assert arguments("includegraphics", PAPER) == ["#1"]
    assert r"\newcommand*{\fig}[1]{\includegraphics[width=\textwidth]{#1}}" in PAPER
    assert "\\resizebox" not in PAPER and "\\scalebox" not in PAPER


def test_the_title_is_in_the_metadata_too():
    title = re.search(r"pdftitle=\{([^}]*)\}", PAPER)[1]
    assert rf"\title{{{title}" in PAPER
