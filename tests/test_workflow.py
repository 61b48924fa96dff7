"""The workflow: what runs when, from which inputs, and that the commands of the README are these."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache

import made_up
import pytest
import yaml
from conftest import counted, planned, run, stub_reference

from latents import config, data, record
from latents.config import ROWS
from latents.record import FORMAT, ROOT, write_json
from latents.report import gallery, kept, plan
from latents.report.figures import targets
from latents.trials.copies import COPIED, SNAKEMAKE, copy_checkout

STUDY, DEMO = "config/study.yaml", "config/demo.yaml"
FIGURE_RULES = {*"accuracy few_labels reconstruction_error separability similarity_figure speed sweeps reconstructions tsne_figure interpolations curves".split()}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text("requirements.lock"), re.MULTILINE))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh copy of the checkout, which no test changes."""
    return copy_checkout(tmp_path_factory.mktemp("clone") / "checkout")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The same, with the names of a finished run in its reference/."""
    folder = copy_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    stub_reference(folder, config.read(ROOT / STUDY))
    return folder


planned_once = cache(planned)  # several tests read the same plan of these two


@pytest.mark.parametrize("name", [STUDY, DEMO])
def test_a_fresh_clone_plans_every_cell_once_and_the_plan_counts_the_same_jobs(name, clone):
    jobs = counted(planned_once(clone, "--config", f"study={name}"))
    study = config.read(ROOT / name)
    assert jobs["train"] == len(study.cells()) + len(study.datasets)
    assert jobs["evaluate"] == len(study.cells())
    figures = {"figures": sum(jobs.pop(rule) for rule in FIGURE_RULES)}
    assert jobs.pop("all") == 1
    assert plan.jobs(study) == jobs | figures


@pytest.mark.parametrize("name", [STUDY, DEMO])
def test_lint_finds_nothing(name, clone):
    assert "your workflow is in a good condition" in run(clone, SNAKEMAKE, "--lint", "--config", f"study={name}").stdout


def test_a_finished_cell_that_was_kept_is_taken_from_there_while_it_is_of_this_configuration_data_and_source(checkout):
    study = config.read(ROOT / STUDY)
    folder = checkout / "kept/study"
    cell, place, asked = "mnist/guided/seed1", "mnist/guided", ["results/records/mnist/guided/seed1.json", "results/tsne/mnist/guided.csv"]
    for name in [*(name.format(cell) for name in kept.LIGHT), *(name.format(place) for name in kept.LIGHT_TSNE)]:
        write_json(folder / name, {"format": FORMAT}) if name.endswith(".json") else record.write_text(folder / name, "light")
    light = record.sha256(b"light")
    made = {
        "format": FORMAT, "codes_sha256": "c" * 64, "pictures_sha256": light, "sample_sha256": light, "curve_sha256": light, "weights_sha256": "w" * 64,
        "trained_by": {"source_sha256": record.source_sha256()}, "config_sha256": record.config_sha256(study.measuring("mnist", "guided", 1)), "source_sha256": record.source_sha256(),
        "data_sha256": config.digest(data.pins(study, "mnist")),
    }  # fmt: skip
    write_json(folder / f"records/{cell}.json", made)
    write_json(folder / f"train/{cell}.json", {"format": FORMAT, "weights_sha256": "w" * 64})
    drawn = {"format": FORMAT, "codes_sha256": "c" * 64, "points_sha256": light, "seed": study.measurement.seed}
    drawn["neighbours"] = study.measurement.tsne_neighbours
    write_json(folder / f"tsne/{place}.json", drawn)
    done = run(checkout, SNAKEMAKE, "--cores", "1", *asked)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"kept": 1, "kept_tsne": 1}
    assert (checkout / asked[1]).read_text() == "light" and (checkout / f"results/curves/{cell}.csv").read_text() == "light"
    assert counted(planned(checkout, *asked)) == {}
    assert counted(planned(checkout, "results/records/mnist/supcon/seed1.json"))["train"] == 2  # another cell is trained, with the judge
    shutil.rmtree(checkout / "results")
    for name in ("config_sha256", "source_sha256", "data_sha256", *(f"{one}_sha256" for one in ("pictures", "sample", "curve", "weights", "codes")), "trained_by"):
        write_json(folder / f"records/{cell}.json", made | {name: {} if name == "trained_by" else "0" * 64})
        assert kept.finished(study, folder) == [], name
    assert counted(planned(checkout, *asked)) == {"data": 1, "train": 2, "evaluate": 1, "tsne": 1}
    write_json(folder / f"records/{cell}.json", made)
    assert kept.finished(study, folder) == [cell]
    for changed in (f"tsne/{place}.csv", f"timing/{cell}.train.json"):  # not the ones that the records describe
        content = (folder / changed).read_bytes()
        (folder / changed).write_bytes(content + b" 1")
        assert kept.finished(study, folder) == [], changed
        (folder / changed).write_bytes(content)
    assert kept.finished(study, folder) == [cell]
    (folder / f"tsne/{place}.csv").unlink()  # without its t-SNE a row's first seed is not finished
    assert kept.finished(study, folder) == []
    record.write_text(folder / f"tsne/{place}.csv", "light")
    assert kept.finished(study, folder) == [cell]
    (folder / f"records/{cell}.json").write_text("broken")
    assert kept.finished(study, folder) == []


def test_keeping_copies_what_is_light_of_finished_cells_alone(tmp_path, capsys):
    folder = made_up.prepare(tmp_path, made_up.plain_study() | {"folder": f"{tmp_path}/"})
    study = config.read(folder / "study.yaml")
    cells = [f"{dataset}/{run}/seed{seed}" for dataset, run, seed in study.cells()]
    for cell in cells:  # as evaluation leaves a record, but for the last one, which another source made
        path = folder / f"results/records/{cell}.json"
        changed = {"source_sha256": record.source_sha256() if cell != cells[-1] else "0" * 64}
        changed |= {"trained_by": dict(changed), "data_sha256": config.digest(data.pins(study, cell.split("/")[0]))}
        made = record.read_json(path) | changed
        write_json(path, made)
        write_json(folder / f"results/train/{cell}.json", {"format": FORMAT, "weights_sha256": made["weights_sha256"]})
        for place in kept.embedded(study, [cell]):
            drawn = {"seed": study.measurement.seed, "neighbours": study.measurement.tsne_neighbours, "codes_sha256": made["codes_sha256"]}
            write_json(folder / f"results/tsne/{place}.json", record.read_json(folder / f"results/tsne/{place}.json") | drawn)
            write_json(folder / f"results/timing/{place}/tsne.json", {"format": FORMAT, "seconds": 1.0})
    (folder / "results/samples/mnist/pca/seed1.npz").unlink()  # not whole
    made_up.call(kept, "--config", folder / "study.yaml", "--out", folder / "kept")
    assert f"{len(cells) - 2} of {len(cells)} cells are finished" in capsys.readouterr().out
    assert kept.finished(study, folder / "kept" / study.study) == [cell for cell in cells[:-1] if cell != "mnist/pca/seed1"]
    assert not list((folder / "kept").rglob("*.safetensors")) and not list((folder / "kept").rglob("codes"))


def test_one_figure_asks_for_just_what_it_needs(finished):
    jobs = counted(planned_once(finished, "--cores", "1", "figures/tsne_cifar10.pdf"))
    assert jobs == {"data": 1, "train": len(ROWS) + 1, "evaluate": len(ROWS), "tsne": len(ROWS), "tsne_figure": 1}
    assert counted(planned_once(finished, "figures/curves_mnist.pdf")).keys() == {"data", "train", "curves"}


def test_from_reference_nothing_is_trained_and_nothing_is_written_there(finished):
    printed = planned_once(finished, "--config", "results=reference")
    assert counted(printed).keys() == FIGURE_RULES | {"tables", "claims", "speed_table", "replay", "paper", "all"}
    outputs = [name for line in re.findall(r"^    output: (.*)$", printed, re.MULTILINE) for name in line.split(", ")]
    assert outputs
    assert all(name.startswith("from-reference/") for name in outputs)
    figure = ("--cores", "1", "from-reference/figures/tsne_cifar10.pdf", "--config", "results=reference")
    assert counted(planned_once(finished, *figure)) == {"tsne_figure": 1}


@pytest.mark.parametrize("settings", [[], ["results=reference"]])
def test_no_rule_writes_to_reference(settings, clone, tmp_path):
    listing = 'for one in workflow.rules:\n    for name in [*one.output, *one.log]:\n        print("writes", name)\n'
    (tmp_path / "Snakefile").write_text(f'include: "{clone}/Snakefile"\n{listing}')
    done = run(clone, SNAKEMAKE, "--snakefile", str(tmp_path / "Snakefile"), "--list-rules", "--config", f"study={STUDY}", *settings)
    written = re.findall(r"^writes (.*)$", done.stdout, re.MULTILINE)
    assert {f"{'from-reference/' if settings else ''}{name}" for name in ("results/summary.csv", "paper/paper.pdf")} <= {*written}
    assert not [name for name in written if name.startswith(("reference/", "{"))]


def test_the_gallery_names_the_inputs_of_the_snakefile(finished):
    study = config.read(ROOT / STUDY)
    printed = planned_once(finished, "--config", "results=reference")
    found = re.findall(r"^    input: (.*)\n    output: from-reference/figures/(\w+)\.pdf", printed, re.MULTILINE)
    inputs = {name: line.split(", ") for line, name in found}
    assert inputs.keys() == {name for name, _, _ in targets(study.datasets)}
    for name, script, patterns in targets(study.datasets):
        read = [path.removeprefix("reference/") for path in inputs[name] if path.startswith("reference/")]
        assert f"src/latents/report/figures/{script}.py" in inputs[name]
        assert all(any(fnmatch.fnmatch(path, pattern) for pattern in patterns) for path in read), (name, read)
        assert all(fnmatch.filter(read, pattern) for pattern in patterns), (name, read)


def test_only_the_rule_evaluate_and_the_benchmark_pass_final_and_so_read_the_test_split():
    rule = re.search(r"^rule evaluate:.*?^rule ", text("Snakefile"), re.MULTILINE | re.DOTALL).group()
    assert rule.count("--final") == 1
    target = re.search(r"^bench:.*?^study:", text("Makefile"), re.MULTILINE | re.DOTALL).group()
    assert target.count("--final") == 1
    for name in ("Snakefile", "Makefile", "Dockerfile", ".ci/run", "README.md", "profiles/default/profile.yaml"):
        assert text(name).count("--final") == (name in ("Snakefile", "Makefile")), name


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("results=refrence", "takes one value, reference"),
        ("stduy=config/demo.yaml", "was given stduy"),
        ("study=config/nowhere.yaml", "config/nowhere.yaml: no such file"),
    ],
)
def test_a_misspelt_setting_stops_before_anything_runs(settings, sentence, checkout):
    done = run(checkout, SNAKEMAKE, "--cores", "1", "--config", settings)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert not (checkout / "data").exists()


def test_the_job_limits_are_in_the_profile_that_snakemake_finds_by_itself(finished):
    assert "profile profiles/default" in planned_once(finished, "figures/curves_mnist.pdf")
    assert yaml.safe_load(text("profiles/default/profile.yaml"))["resources"] == "gpu=1"


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_the_profile_of_a_cluster_loads_and_plans_the_same_jobs(name, clone, finished):
    settings = ["--config", f"study={DEMO}"]
    jobs = counted(planned_once(finished, "--workflow-profile", f"profiles/{name}", *settings))
    assert jobs == counted(planned_once(clone, *settings))


@pytest.mark.skipif(not (ROOT / "reference/timing").exists(), reason="reference/ holds no finished run yet")
@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_a_cluster_is_asked_for_the_memory_and_time_that_the_committed_run_needed(name):
    profile = yaml.safe_load(text(f"profiles/{name}/profile.yaml"))
    asked = {rule: profile["default-resources"] | profile["set-resources"].get(rule, {}) for rule in ("train", "evaluate", "tsne")}
    for rule, resources in asked.items():
        timings = [record.read_json(path) for path in (ROOT / "reference/timing").rglob("tsne.json" if rule == "tsne" else f"*.{rule}.json")]
        assert timings
        assert 1.1 * max(one.get("peak_memory_bytes", 0) for one in timings) < resources["mem_mb"] * 1e6
        assert 2 * max(one["seconds"] for one in timings) < resources.get("runtime", 10**6) * 60


# -- one set of versions


def test_conda_environment_has_the_versions_of_the_lock():
    dependencies = yaml.safe_load(text("environment.yml"))["dependencies"]
    pins = dict(line.split("==") for line in dependencies[-1]["pip"] if "==" in line)
    assert {name: locked().get(name) for name in pins} == pins
    wanted = {re.match(r"[A-Za-z0-9-]+", line).group().lower() for line in re.findall(r'^    "([^"]+)"', text("pyproject.toml"), re.MULTILINE)}
    assert pins.keys() == wanted
    assert "python=3.11" in dependencies


def test_container_readme_and_snakefile_name_the_same_versions():
    digest = re.search(r"sha256:[0-9a-f]{64}", text("Dockerfile")).group()
    assert f'container: os.environ.get("LATENTS_IMAGE", "docker://debian@{digest}")' in text("Snakefile")
    assert f"torch {locked()['torch']}" in text("README.md")
    assert "python3.11" in text("Dockerfile")
    assert "Python 3.11" in text("README.md")
    assert 'requires-python = "==3.11.*"' in text("pyproject.toml")


# -- the commands of the README


def commands(kind: str) -> list[str]:
    """Commands of one program in the README's code."""
    return sorted(set(re.findall(rf"(?:^|`)({kind} [^`\n]*)", text("README.md"), re.MULTILINE)))


def test_every_make_command_of_the_readme_is_a_target():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    used = {command.split()[1] for command in commands("make")}
    assert {"demo", "test", "plan", "study", "from-reference", "lint"} <= used <= targets


def test_every_selection_of_tests_in_the_readme_selects_some():
    selections = re.findall(r'ARGS="(-k [^"]+)"', text("README.md"))
    assert selections
    collect = "import pytest, shlex, sys; sys.exit([s for s in sys.argv[1:] if pytest.main(['--collect-only', '-q', *shlex.split(s)])] or 0)"
    done = run(ROOT, sys.executable, "-c", collect, *selections)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("command", [c for c in commands("snakemake") if "--unlock" not in c and "mine.yaml" not in c])
def test_every_snakemake_command_of_the_readme_finds_its_jobs(command, finished):
    assert "Job stats" in planned_once(finished, *shlex.split(command)[1:])


def test_make_says_in_one_line_what_python_is_missing(checkout):
    done = run(checkout, "make", ".venv/made-from-lock", "PYTHON=/bin/false")
    assert done.returncode != 0
    assert "error: Python 3.11 was not found; install it" in done.stdout
    assert not (checkout / ".venv").exists()


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
    shutil.rmtree(checkout / "reference", ignore_errors=True)
    make = ["make", "reference", "--old-file=.venv/made-from-lock", f"SNAKEMAKE={SNAKEMAKE}"]
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
    assert not (checkout / "reference").exists()


def test_ci_is_a_whole_script_that_ends_in_make_test():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", ROOT / ".ci/run"]).returncode == 0
    assert text(".ci/run").rstrip().endswith("make test")


# -- what the study will cost, and what the committed run says


def test_the_plan_tells_recorded_hours_and_names_what_was_never_timed(tmp_path):
    study = config.read(ROOT / STUDY)
    assert plan.hours(*plan.recorded(study, tmp_path)) == ["not known: no job of these settings is in reference/timing"]
    for name, seconds, settings in (("guided", 7200, {}), ("contrastive", 60, {"precision": "other"})):
        machine = {"processor": "A CPU", "device": "cpu", "threads": 2}
        entry = machine | {"config": study.training("mnist", name, 5) | settings}
        write_json(tmp_path / f"train/mnist/{name}/seed5.json", {"format": FORMAT} | entry)
        write_json(tmp_path / f"timing/mnist/{name}/seed5.train.json", {"format": FORMAT, "seconds": seconds})
    lines = "\n".join(plan.hours(*plan.recorded(study, tmp_path)))
    hours = 2 * len(study.dataset("mnist").seeds)
    assert f"{hours}.00 ({hours}.00 train, 0.00 evaluate)" in lines
    assert "A CPU, cpu, 2 threads" in lines
    missing = lines.partition("not counted")[2]
    assert "cifar10/contrastive" in missing and " runs more)" in missing and missing.count(",") == plan.NAMED - 1


def test_the_plan_on_nodes_tells_of_how_many_jobs_it_is(tmp_path):
    study = config.read(ROOT / STUDY)
    write_json(tmp_path / "bench.json", {"format": FORMAT, "workflow": {"paper": {"median": 3600.0}}})
    seconds = {("train", "mnist", "guided", 1): 7200.0, ("train", "mnist", "guided", 2): 3600.0, ("train", "mnist", "guided", 3): None}
    *table, path, left_out = plan.on_nodes(study, tmp_path, seconds, 2)
    assert [line.split() for line in table[1:]] == [["1", "4.00", "1.0", "100", "%"], ["2", "3.00", "1.3", "67", "%"]]
    assert path == "the critical path is 3.00 hours: more than 2 nodes gain nothing"
    assert left_out == "of 2 of 3 jobs: no time is known of the others"
    assert plan.on_nodes(study, tmp_path, dict.fromkeys(seconds), 2) == ["of 0 of 3 jobs: no time is known of the others"]


def test_jobs_on_nodes_wait_for_what_they_need_and_gain_until_the_critical_path():
    job = {name: ("step", name, "", 0) for name in "abcde"}
    # a and b are free; c needs both, d needs a; e ends all
    graph = {job["a"]: (3.0, []), job["b"]: (1.0, []), job["c"]: (2.0, [job["a"], job["b"]]), job["d"]: (4.0, [job["a"]]), job["e"]: (1.0, list(map(job.get, "abcd")))}
    assert max(plan.below(graph).values()) == 3 + 4 + 1
    assert [plan.makespan(graph, n) for n in (1, 2, 3)] == [11, 8, 8]
    equal = {("step", str(k), "", 0): (1.0, []) for k in range(10)}
    assert [plan.makespan(equal, n) for n in (1, 3, 5, 20)] == [10, 4, 2, 1]


@pytest.mark.skipif(not (ROOT / "reference/timing").exists(), reason="reference/ holds no finished run yet")
def test_the_plan_on_nodes_is_that_of_the_committed_run():
    study = config.read(ROOT / "reference/study.yaml")
    seconds, _ = plan.recorded(study, ROOT / "reference")
    jobs = plan.graph(study, ROOT / "reference", seconds)
    assert len(jobs) == len(seconds) + len(ROWS) * len(study.datasets) + 1
    assert plan.makespan(jobs, 1) == pytest.approx(sum(spent for spent, _ in jobs.values()))
    spans = [plan.makespan(jobs, n) for n in (1, 2, 8, len(jobs))]
    assert spans == sorted(spans, reverse=True) and spans[-1] == pytest.approx(max(plan.below(jobs).values()))
    lines = plan.on_nodes(study, ROOT / "reference", seconds, 8)
    assert [line.split()[0] for line in lines[1:-1]] == ["1", "2", "4", "8"] and "the critical path is" in lines[-1]


@pytest.mark.skipif(not (ROOT / "reference/summary.csv").exists(), reason="reference/ holds no finished run yet")
def test_gallery_and_readme_are_those_of_the_committed_run():
    study = config.read(ROOT / "reference/study.yaml")
    readme = text("README.md")
    assert gallery.between_marks(readme, gallery.results(study, ROOT / "reference"), ROOT / "README.md") == readme
    assert gallery.gallery(study, ROOT / "reference") == text("figures/README.md")


# -- the demo, run to its PDF


def test_make_demo_ends_in_a_clean_pdf_and_says_where_things_are(demo):
    folder, printed = demo
    for line, name in zip(printed.splitlines()[-3:], ("demo/paper/paper.pdf", "demo/figures/", "demo/results/summary.csv"), strict=True):
        assert line.endswith(name)
        assert (folder / name).exists()
    assert (folder / "demo/paper/paper.pdf").stat().st_size < 5e6
    log = (folder / "demo/paper/build/paper.log").read_text(encoding="utf-8", errors="replace")
    assert not re.findall(r"(?:Reference|Citation) .*undefined|There were undefined|multiply defined|Missing character.*", log)
    assert not [width for width in re.findall(r"^Overfull \\[hv]box \((\d+\.\d+)pt", log, re.MULTILINE) if float(width) > 5]


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext (poppler-utils) is not installed")
def test_every_page_of_the_demo_says_what_it_is(demo):
    pages = subprocess.run(["pdftotext", demo[0] / "demo/paper/paper.pdf", "-"], capture_output=True, text=True, check=True).stdout.split("\f")[:-1]
    assert 6 <= len(pages) <= 13  # twelve, and the appendix
    assert "The claims, and the cells behind tables and figures" in " ".join(pages[-2:])
    assert all(config.read(ROOT / DEMO).note in " ".join(page.split()) for page in pages)


def test_the_demo_writes_nothing_outside_its_folder(demo):
    folder, _ = demo
    assert {path.name for path in folder.iterdir()} - {".snakemake", "demo"} <= {*COPIED}
    assert not [*folder.glob("figures/*.p*"), *folder.glob("paper/*.pdf"), *folder.glob("paper/generated")]


def test_a_finished_run_has_nothing_to_do_and_a_deleted_figure_comes_back_alone(demo):
    folder, settings = demo[0], ["--config", f"study={DEMO}"]
    assert "Nothing to be done" in planned(folder, *settings)
    figure = folder / "demo/figures/accuracy.pdf"
    before = figure.read_bytes()
    figure.unlink()
    assert counted(planned(folder, *settings)) == {"accuracy": 1, "paper": 1, "all": 1}
    done = run(folder, SNAKEMAKE, "--cores", "1", "demo/figures/accuracy.pdf", *settings)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"accuracy": 1}
    assert figure.read_bytes() == before


def test_a_changed_setting_repeats_just_the_cells_that_it_decides(demo):
    folder = demo[0]
    changed = json.loads(json.dumps(yaml.safe_load(text(DEMO))))  # a copy in which nothing is shared by an anchor
    (folder / "config/changed.yaml").write_text(yaml.safe_dump(changed))
    assert not {"train", "evaluate"} & counted(planned(folder, "--config", "study=config/changed.yaml")).keys()
    changed["datasets"]["cifar10"]["methods"]["guided"]["label-smoothing"] = 0.123
    (folder / "config/changed.yaml").write_text(yaml.safe_dump(changed))
    jobs = counted(planned(folder, "--config", "study=config/changed.yaml"))
    (folder / "config/changed.yaml").unlink()
    cells = len(changed["datasets"]["cifar10"]["seeds"]) + len(changed["datasets"]["cifar10"]["sweeps"]["guided"]["labels"]["variants"])
    assert {rule: jobs.get(rule) for rule in ("data", "train", "evaluate", "tsne")} == {"data": None, "train": cells, "evaluate": cells, "tsne": 1}


def test_everything_printed_comes_from_reference_without_data_or_torch(demo, checkout, tmp_path):
    shutil.rmtree(checkout / "reference", ignore_errors=True)
    shutil.copytree(demo[0] / "demo/results", checkout / "reference", ignore=shutil.ignore_patterns("codes"))
    for name in ("bench.json", "trials.json"):
        shutil.copy(ROOT / "reference" / name, checkout / "reference" / name)
    kept = {path: path.read_bytes() for path in (checkout / "reference").rglob("*") if path.is_file()}
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not wanted here')\n")
    reference = ["--config", f"study={DEMO}", "results=reference"]
    figure = [SNAKEMAKE, "--cores", "1", "from-reference/figures/tsne_cifar10.pdf", *reference]
    done = run(checkout, *figure, timeout=60, PYTHONPATH=f"{tmp_path}:{checkout}/src")
    assert done.returncode == 0, done.stdout[-3000:]
    done = run(checkout, SNAKEMAKE, "--cores", "2", *reference, timeout=200, PYTHONPATH=f"{tmp_path}:{checkout}/src")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (checkout / "from-reference/paper/paper.pdf").exists()
    assert {path: path.read_bytes() for path in (checkout / "reference").rglob("*") if path.is_file()} == kept
