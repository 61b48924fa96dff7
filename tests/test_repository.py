"""The repository: one set of versions, documentation whose commands and paths exist, style, and CI."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import DEMO, MAKE_IN_COPY, STUDY, run, text
from made_up import call

from latents import config
from latents.faults.copies import SNAKEMAKE
from latents.record import ROOT
from latents.report import gallery, results_page

DOCS = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "lab-log.md")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "docs/lab-log.md", ROOT / "figures/README.md"]
FENCE = re.compile(r"^( *)```\w*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SOURCES = (
    ".ci/",
    ".github/",
    "config/",
    "docs/",
    "paper/",
    "profiles/",
    "reference/",
    "rules/",
    "src/",
    "tests/",
)
MADE = {f"paper/{name}" for name in ("paper.pdf", "provenance.json", "arxiv.tar.gz")}  # not committed


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text("requirements.lock"), re.MULTILINE))


def spans(page: Path) -> list[str]:
    """The code between backticks in a page's running text."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text(page)))]


def code(page: Path) -> list[str]:
    """The lines of a page's code, and the code in its running text."""
    return [line.strip() for _, block in FENCE.findall(text(page)) for line in block.splitlines()] + spans(
        page
    )


def commands(start: str) -> list[str]:
    """Commands in the code of all pages, from a pattern on: `snakemake` in a container too."""
    found = [re.search(rf"(?:^| )({start}.*)", line) for page in PAGES for line in code(page)]
    return sorted({one[1] for one in found if one})


# -- one set of versions


def test_conda_environment_has_the_versions_of_the_lock():
    dependencies = yaml.safe_load(text("environment.yml"))["dependencies"]
    pins = dict(line.split("==") for line in dependencies[-1]["pip"] if "==" in line)
    assert {name: locked().get(name) for name in pins} == pins
    wanted = re.findall(r'^    "([A-Za-z0-9-]+)[^"]*",', text("pyproject.toml"), re.MULTILINE)
    assert pins.keys() == {name.lower() for name in wanted if not name.isupper()}
    assert "python=3.11" in dependencies


def test_container_readme_and_workflow_name_the_same_versions():
    digest = re.search(r"sha256:[0-9a-f]{64}", text("Dockerfile")).group()
    assert f'BASE = "docker://debian@{digest}"' in text("rules/common.smk")
    assert 'container: os.environ.get("LATENTS_IMAGE") or BASE' in text("rules/common.smk")
    assert f"torch {locked()['torch']}" in text("README.md")
    assert "python3.11" in text("Dockerfile")
    assert "Python 3.11" in text("README.md")
    assert 'requires-python = "==3.11.*"' in text("pyproject.toml")


# -- the documentation


def test_readme_and_snakefile_can_be_read_in_one_sitting():
    assert len(text("README.md").splitlines()) <= 150
    assert len(text("Snakefile").splitlines()) <= 220


def test_every_make_command_of_the_documentation_is_a_target(clone):
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = [shlex.split(command.partition("&&")[0]) for command in commands("make [a-z]")]
    assert {"demo", "test", "plan", "study", "from-reference", "lint"} <= {one[1] for one in used} <= targets
    for _, target, *settings in used:
        assert all(f"$({one.partition('=')[0]})" in makefile for one in settings), settings
        done = run(clone, "make", "--dry-run", target, *settings, *MAKE_IN_COPY)
        assert done.returncode == 0, done.stdout


def test_make_help_lists_every_make_command_of_the_documentation(clone):
    done = run(clone, "make")
    listed = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert {command.split()[1] for command in commands("make [a-z]")} - {"help"} <= listed.keys()
    assert len(listed) == len(done.stdout.splitlines())


def test_every_selection_of_tests_in_the_documentation_selects_some():
    selections = sorted({one for page in PAGES for one in re.findall(r'ARGS="([^"]+)"', text(page))})
    assert len(selections) >= 5
    sources = "".join(text(path) for path in (ROOT / "tests").glob("test_*.py"))
    tests = re.findall(r"^def (test_\w+)", sources, re.MULTILINE)
    for first, *words in map(shlex.split, selections):
        if first == "-k":
            assert all(any(word in test for test in tests) for word in words[0].split(" or ")), words
        else:
            assert (ROOT / first).exists(), first


@pytest.mark.parametrize("command", [one for one in commands("python -m latents") if "<" not in one])
def test_every_step_that_the_documentation_runs_has_the_options_that_it_gives(command, capsys):
    _, _, module, *arguments = shlex.split(command)
    with pytest.raises(SystemExit):
        call(importlib.import_module(module), "--help")
    shown = capsys.readouterr().out
    options = [one for one in arguments if one.startswith("--")]
    assert options and all(f"{one} " in shown for one in options)


@pytest.mark.parametrize("page", names(PAGES))
def test_every_path_that_the_documentation_names_exists(page):
    found = [one for one in spans(ROOT / page) if one.startswith(SOURCES) and not re.search("[<> ]", one)]
    found += re.findall(r"\b(?:study|CONFIG)=([\w./-]+)", text(page))
    for name in {*found} - MADE - {"config/mine.yaml"}:  # the latter is the reader's to make
        assert list(ROOT.glob(name)), name


@pytest.mark.parametrize("page", names(LINKING))
def test_every_relative_link_of_the_documentation_leads_to_a_file_and_a_heading(page):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text(page)))
    assert links or page == "CHANGELOG.md" or page.startswith("docs/")
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if heading:
            heads = re.findall(r"^#+ (.*)$", FENCE.sub("", target.read_text(encoding="utf-8")), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert heading in anchors, link


def test_the_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\(([^)#\s]+)\)", text("README.md")))
    assert {*names(PAGES), "docs/lab-log.md"} - {"README.md"} <= linked


def test_the_map_of_the_code_names_every_module_and_nothing_else():
    block = text("README.md").partition("## Map of the code")[2].split("```")[1]
    modules = {path.name for path in (ROOT / "src/latents").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\w+\.py", block)) == modules
    folders = {f"{path.parent.name}/" for path in (ROOT / "src/latents").glob("*/__init__.py")}
    assert folders <= set(re.findall(r"\w+/", block))
    top = re.findall(r"^([^\s,]+)(?:, (\S+))? ", block, re.MULTILINE)
    assert all((ROOT / name).exists() for pair in top for name in pair if name)


@pytest.mark.skipif(
    not (ROOT / "reference/summary.csv").exists(), reason="reference/ holds no finished run yet"
)
def test_generated_pages_and_the_tables_of_the_readme_are_those_of_the_committed_run():
    study, reference, path = (
        config.read(ROOT / "reference/study.yaml"),
        ROOT / "reference",
        ROOT / "README.md",
    )
    readme = text("README.md")
    results, methods = results_page.readme_results(study, reference), results_page.readme_methods(study)
    assert gallery.between_marks(readme, "results", results, path) == readme
    assert gallery.between_marks(readme, "methods", methods, path) == readme
    assert gallery.gallery(study, reference) == text("figures/README.md")
    assert results_page.results_page(study, reference) == text("docs/results.md")


# -- what make says where something is missing


def test_make_says_in_one_line_what_python_is_missing(clone):
    done = run(clone, "make", ".venv/made-from-lock", "PYTHON=/bin/false")
    assert done.returncode != 0
    assert "error: Python 3.11 was not found; install it" in done.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("user", ["0", "1000"])
def test_tex_is_installed_by_root_on_debian_and_named_to_others(user, clone, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, line in (("id", f"echo {user}"), ("apt-get", f'echo "$@" >> {tmp_path}/asked')):
        (tools / name).write_text(f"#!/bin/bash\n{line}\n")
        (tools / name).chmod(0o755)
    done = run(clone, shutil.which("make"), "tex", PATH=str(tools))
    if user == "0":
        assert done.returncode == 0, done.stdout
        assert "install -y --no-install-recommends texlive-latex-base" in (tmp_path / "asked").read_text()
    else:
        assert done.returncode != 0
        assert "error: TeX is missing; install TeX Live with latexmk" in done.stdout
        assert not (tmp_path / "asked").exists()


def test_reference_refuses_the_demo_and_an_unfinished_study(checkout):
    before = sorted((checkout / "reference").rglob("*"))
    make = ["make", "reference", *MAKE_IN_COPY]
    record = checkout / "results/records/mnist/pca/seed1.json"
    record.parent.mkdir(parents=True)
    record.write_text('{\n "study": "demo"\n}\n')
    done = run(checkout, *make)
    assert done.returncode != 0
    assert "only the study goes to reference/" in done.stdout
    record.write_text('{\n "study": "study"\n}\n')
    done = run(checkout, *make)
    assert done.returncode != 0
    assert "the study has not run to its end here" in done.stdout
    broken = run(checkout, "make", "report", "CONFIG=config/none.yaml", *MAKE_IN_COPY)
    assert broken.returncode != 0
    assert "config/none.yaml: no such file" in broken.stdout and "to its end" not in broken.stdout
    assert sorted((checkout / "reference").rglob("*")) == before


# -- style, and what a machine runs on every change


def lint_commands(folder: Path) -> list[list[str]]:
    """What `make lint` runs in a checkout."""
    done = run(folder, "make", "--dry-run", "lint", "--old-file=.venv/made-from-lock")
    return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("part", [["check"], ["format", "--check"]])
def test_ruff_finds_nothing(part, clone):
    assert [".venv/bin/ruff", *part] in lint_commands(clone)
    ruff = shutil.which(Path(sys.executable).with_name("ruff")) or shutil.which("ruff")
    done = run(ROOT, ruff, *part, RUFF_NO_CACHE="true")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", [STUDY, DEMO])
def test_the_lint_of_the_workflow_finds_nothing(name, clone):
    assert [".venv/bin/snakemake", "--lint"] in lint_commands(clone)
    done = run(clone, SNAKEMAKE, "--lint", "--config", f"study={name}")
    assert "your workflow is in a good condition" in done.stdout


def test_the_hooks_before_a_commit_are_local_and_run_what_make_lint_runs(clone):
    repositories = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert {one["repo"] for one in repositories} == {"local"}
    hooks = [hook for one in repositories for hook in one["hooks"]]
    assert all(hook["language"] == "system" for hook in hooks)
    assert [shlex.split(hook["entry"]) for hook in hooks] == lint_commands(clone)


def test_ci_is_a_whole_script_that_lints_and_ends_in_make_test():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", ROOT / ".ci/run"]).returncode == 0
    lines = text(".ci/run").rstrip().splitlines()
    assert "make lint" in lines
    assert lines[-1] == "make test"


def test_the_workflow_on_github_runs_the_same_script_on_every_change():
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    assert {"push", "pull_request"} <= {*workflow[True]}  # YAML 1.1 reads `on` as true
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in [step.get("run") for step in steps]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: git does not know its files")
def test_no_line_end_changes_where_git_is_told_to_change_them(tmp_path):
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    kept = ["requirements.lock", "Snakefile", "reference/summary.csv", "paper/refs.bib"]
    for name in kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-q", "-m", "all"],
        ["clone", "-q", ".", "other"],
    ):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    for name in kept:
        assert (tmp_path / "other" / name).read_bytes() == (ROOT / name).read_bytes(), name
