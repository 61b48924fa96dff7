"""The workflow: what runs when and from which inputs, where outputs go, and the demo, run to its PDF."""

import base64
import fnmatch
import json
import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from conftest import DEMO, MAKE_IN_COPY, STUDY, counted, planned, planned_once, run, stub_reference, text
from test_repository import commands

from latents import config, record
from latents.bench import gpu
from latents.faults.copies import COPIED, SNAKEMAKE
from latents.host import JOB, has_gpu, jobs_at_once
from latents.plain import load_yaml
from latents.record import ROOT
from latents.report import forecast, plan
from latents.report.figures import FIGURES, figure_patterns, figure_targets
from latents.report.page import CAPTIONS

REFERENCE = ("--config", "results=reference")


def outputs(printed: str) -> list[str]:
    """The outputs of all jobs that a dry run lists."""
    lines = re.findall(r"^    output: (.*)$", printed, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


# -- which jobs run


@pytest.mark.parametrize("name", [STUDY, DEMO])
def test_a_fresh_clone_plans_every_run_once_and_the_plan_counts_the_same_jobs(name, clone, tmp_path):
    printed = planned_once(clone, "--config", f"study={name}")
    jobs = counted(printed)
    study = config.read(ROOT / name)
    assert jobs["train"] == len(study.runs()) + len(study.datasets)
    assert jobs["evaluate"] == len(study.runs())
    assert jobs.pop("all") == 1
    assert jobs.pop("machine", 0) == (study.precision == "auto")
    assert plan.jobs(study, tmp_path) == jobs
    drawn = {path.partition("figures/")[2] for path in outputs(printed) if "figures/" in path}
    assert drawn == {f"{one.name}.{kind}" for one in figure_targets(study) for kind in ("pdf", "png")}
    assert {one.script for one in figure_targets(study)} >= FIGURES.keys() - {"budget"}  # not in the demo


def test_fine_tuning_waits_for_the_weights_that_it_starts_from(clone):
    wanted, start = (
        f"demo/checkpoints/cifar10/{name}/seed1.safetensors"
        for name in ("guided.finetuned.10pct", "contrastive")
    )
    printed = planned_once(clone, "--config", f"study={DEMO}")
    assert f"input: demo/results/data/cifar10.json, {start}\n    output: {wanted}, " in printed


def dry_runs() -> list[str]:
    """The documentation's commands for Snakemake, without what changes no plan."""
    found = {re.sub(r" --(cores|forcerun) \S+", "", one) for one in commands("snakemake --")}
    return sorted(found - {"snakemake --unlock"})


@pytest.mark.parametrize("command", dry_runs())
def test_every_snakemake_command_of_the_documentation_finds_its_jobs(command, finished):
    assert "Job stats" in planned_once(finished, *shlex.split(command)[1:])


def test_what_the_documentation_makes_again_is_a_rule():
    forced = {name for one in commands("snakemake --") for name in re.findall(r"forcerun (\S+)", one)}
    assert forced and forced <= set(re.findall(r"^rule (\w+):", text("Snakefile"), re.MULTILINE))


def test_one_figure_asks_for_just_what_it_needs(finished):
    printed = planned_once(finished, "figures/tsne_cifar10.pdf")
    n = len(config.read(ROOT / STUDY).methods)
    assert counted(printed) == {
        "data": 1,
        "machine": 1,
        "train": n + 1,
        "evaluate": n,
        "tsne": n,
        "figure": 1,
    }
    curves = planned_once(finished, "figures/curves_mnist.pdf")
    assert counted(curves).keys() == {"data", "machine", "train", "figure"}
    assert counted(curves)["figure"] == 1


def test_from_reference_nothing_is_trained_and_nothing_is_written_there(finished):
    printed = planned_once(finished, *REFERENCE)
    jobs = counted(printed)
    assert jobs.keys() == {
        "figure",
        "tables",
        "claims",
        "speed_table",
        "faults",
        "paper",
        "provenance",
        "all",
    }
    assert jobs["figure"] == len(figure_targets(config.read(ROOT / STUDY)))
    assert outputs(printed)
    assert all(name.startswith("from-reference/") for name in outputs(printed))
    figure = planned_once(finished, "from-reference/figures/tsne_cifar10.pdf", *REFERENCE)
    assert counted(figure) == {"figure": 1}
    assert "from-reference/figures/tsne_cifar10.pdf" in outputs(figure)


@pytest.mark.parametrize("settings", [[], ["results=reference"]])
def test_no_rule_writes_to_reference(settings, clone, tmp_path):
    listing = "for one in workflow.rules:\n    for name in [*one.output, *one.log]: print('writes', name)\n"
    (tmp_path / "Snakefile").write_text(f'include: "{clone}/Snakefile"\n{listing}')
    listed = ["--snakefile", str(tmp_path / "Snakefile"), "--list-rules", "--config", f"study={STUDY}"]
    done = run(clone, SNAKEMAKE, *listed, *settings)
    written = re.findall(r"^writes (.*)$", done.stdout, re.MULTILINE)
    before = "from-reference/" if settings else ""
    assert {f"{before}{name}" for name in ("results/summary.csv", "paper/paper.pdf")} <= {*written}
    assert not [name for name in written if name.startswith(("reference/", "{"))]


def test_the_gallery_names_the_inputs_of_the_snakefile(finished):
    study = config.read(ROOT / STUDY)
    printed = planned_once(finished, *REFERENCE)
    jobs = re.findall(
        r"^    input: (.*)\n    output: from-reference/figures/(\w+)\.pdf", printed, re.MULTILINE
    )
    inputs = {name: line.split(", ") for line, name in jobs}
    assert inputs.keys() == {name for name, _, _ in figure_targets(study)}
    for name, script, dataset in figure_targets(study):
        patterns = figure_patterns(script, dataset)
        read = [path.removeprefix("reference/") for path in inputs[name] if path.startswith("reference/")]
        assert f"src/latents/report/figures/{script}.py" in inputs[name]
        found = {path for pattern in patterns for path in fnmatch.filter(read, pattern)}
        assert found == {*read}, (name, read)
        assert all(fnmatch.filter(read, pattern) for pattern in patterns), (name, read)


def test_only_evaluation_the_yardsticks_and_the_benchmark_pass_final_and_so_read_the_test_split():
    snakefile, makefile = text("Snakefile"), text("Makefile")
    rule = re.search(r"^rule evaluate:.*?^rule ", snakefile, re.MULTILINE | re.DOTALL).group()
    assert rule.count("--final") == 1
    target = re.search(r"^bench:.*?^study:", makefile, re.MULTILINE | re.DOTALL).group()
    assert target.count("--final") == 1
    others = [path for folder in ("rules", "docs", "profiles") for path in (ROOT / folder).rglob("*.*")]
    others = [path for path in others if path.name != "lab-log.md" and path.suffix != ".png"]
    once = {ROOT / "rules/yardsticks.smk", "Snakefile", "Makefile"}
    for name in ("Snakefile", "Makefile", "Dockerfile", ".ci/run", "README.md", "CONTRIBUTING.md", *others):
        assert text(name).count("--final") == (name in once), name


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("results=refrence", "takes one value, reference"),
        ("stduy=config/demo.yaml", "was given stduy"),
        ("study=config/nowhere.yaml", "config/nowhere.yaml: no such file in"),
        ("study=", "--config study= names a file"),
        ("study=5", "--config study= names a file"),
    ],
)
def test_a_misspelt_setting_stops_before_anything_runs(settings, sentence, clone):
    done = run(clone, SNAKEMAKE, "--cores", "1", "--config", settings)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert not (clone / "data").exists()


@pytest.mark.parametrize(("name", "value"), [("LATENTS_DATA", "~/data"), ("LATENTS_CHECKPOINTS", "/x/{y}")])
def test_a_variable_that_is_no_plain_path_stops_before_anything_runs(name, value, clone):
    done = run(clone, SNAKEMAKE, "--dry-run", **{name: value})
    assert done.returncode != 0
    assert f"{name}: {value!r} is no plain path; write it whole" in done.stdout


def test_from_another_folder_the_message_says_where_to_run(clone, tmp_path):
    for options in (
        ["--snakefile", clone / "Snakefile"],
        ["--snakefile", clone / "Snakefile", "-d", clone / "src"],
    ):
        done = run(tmp_path, SNAKEMAKE, "--dry-run", *options, PYTHONPATH=f"{clone}/src")
        assert done.returncode != 0
        assert f"the study runs in its checkout: cd {clone} and run snakemake there" in done.stdout


UNQUOTED = {  # options, a name and a number; those that hold paths are quoted in rules/common.smk
    *("params.dataset", "params.script", "params.strict", "params.run"),
    *("params.machine", "params.begun", "params.progress", "params.at_once"),
}


def test_every_path_in_a_shell_command_is_quoted():
    for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")):
        for command in re.findall(r"^    shell:\n((?:        .*\n?)+)", path.read_text(), re.MULTILINE):
            names = re.findall(r"\{((?:input|output|params|log)[^}]*)\}", command)
            assert names, command
            assert not [name for name in names if not name.endswith(":q") and name not in UNQUOTED], command
    assert "$(CONFIG)" not in re.sub(r'"(?:study=)?\$\(CONFIG\)"|,study=\$\(CONFIG\)', "", text("Makefile"))


def write_small(path, **changes):
    """The demo's settings for one data set and two methods, under other names."""
    plain = load_yaml(ROOT / DEMO)
    digits = {name: value for name, value in plain["datasets"]["mnist"].items() if name != "sweeps"}
    digits["methods"] = {method: digits["methods"][method] for method in ("pca", "guided")}
    path.write_text(yaml.safe_dump(plain | {"study": "mine", "datasets": {"mnist": digits}} | changes))


ODD = r"it's {x} & 50 % of #1_^~ \x $(touch hacked) $\y$ <b>"


def test_one_data_set_and_two_methods_in_odd_places_with_an_odd_note_end_in_a_pdf(checkout, tmp_path):
    write_small(checkout / "config/my study.yaml", folder="my mine's/", note=ODD)
    outside = {"LATENTS_CHECKPOINTS": str(tmp_path / "My Drive's $HOME")}
    command = [SNAKEMAKE, "--cores", "2", "--config", "study=config/my study.yaml"]
    done = run(checkout, *command, timeout=600, **outside)
    assert done.returncode == 0, done.stdout[-3000:]
    printed = subprocess.run(
        ["pdftotext", checkout / "my mine's/paper/paper.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert printed.count(ODD.replace("'", "\u2019")) >= printed.count("\f")  # on every page
    assert {path.name for path in checkout.iterdir()} - {".snakemake", "my mine's"} <= {*COPIED}
    assert len([*tmp_path.glob("My Drive's $HOME/mine/mnist/*/*.safetensors")]) == 3
    assert "Nothing to be done" in run(checkout, *command, "--dry-run", **outside).stdout


# -- profiles


def test_the_job_limits_are_in_the_profile_that_snakemake_finds_by_itself(finished):
    assert "profile profiles/default" in planned_once(finished, "figures/curves_mnist.pdf")
    limit = yaml.safe_load(text("profiles/default/profile.yaml"))["resources"]
    # as many as the forecast expects and the check of a GPU times
    assert limit == f"gpu={forecast.ON_GPU}" == f"gpu={gpu.JOBS}"


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_the_profile_of_a_cluster_loads_and_plans_the_same_jobs(name, clone, finished):
    settings = ["--config", f"study={DEMO}"]
    jobs = counted(planned_once(finished, "--workflow-profile", f"profiles/{name}", *settings))
    assert jobs == counted(planned_once(clone, *settings))


@pytest.mark.skipif(not (ROOT / "reference/timing").exists(), reason="reference/ holds no finished run yet")
@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_a_cluster_is_asked_for_the_memory_and_time_that_the_committed_run_needed(name):
    profile = yaml.safe_load(text(f"profiles/{name}/profile.yaml"))
    for rule in ("train", "evaluate", "tsne"):
        asked = profile["default-resources"] | profile["set-resources"].get(rule, {})
        pattern = "tsne.json" if rule == "tsne" else f"*.{rule}.json"
        timings = [record.read_json(path) for path in (ROOT / "reference/timing").rglob(pattern)]
        assert timings
        assert 1.1 * max(one.get("peak_memory_bytes", 0) for one in timings) < asked["mem_mb"] * 1e6
        assert 2 * max(one["seconds"] for one in timings) < asked.get("runtime", 10**6) * 60


@pytest.mark.skipif(not (ROOT / "reference/timing").exists(), reason="reference/ holds no finished run yet")
def test_each_rule_states_the_memory_that_the_committed_run_needed():
    for rule in ("train", "evaluate"):
        stated = int(
            re.search(rf"^rule {rule}:.*?mem_mb=(\d+)", text("Snakefile"), re.MULTILINE | re.DOTALL)[1]
        )
        timings = [record.read_json(path) for path in (ROOT / "reference/timing").rglob(f"*.{rule}.json")]
        assert 1.1 * max(one.get("peak_memory_bytes", 0) for one in timings) < stated * 1e6 <= JOB


def test_a_job_asks_for_a_gpu_where_there_is_one_or_the_study_wants_one(clone, tmp_path):
    printed = planned_once(clone, "--config", f"study={STUDY}")
    asked = re.findall(
        r"^rule train:.*?resources: ([^\n]*)", printed.replace("localrule", "rule"), re.M | re.S
    )
    assert asked and all(f"gpu={int(has_gpu())}" in one and "mem_mb=2500" in one for one in asked)
    (tmp_path / "forced.yaml").write_text(text(DEMO).replace("device: cpu", "device: cuda"))
    assert "gpu=1" in planned(clone, "--config", f"study={tmp_path}/forced.yaml")


def test_the_first_seeds_of_all_methods_come_before_further_seeds_and_these_before_sweeps(clone):
    printed = planned_once(clone, "--config", f"study={STUDY}")
    pattern = r"^    output: results/records/(\S+?)\.json, (.*?)\n\n"
    jobs = re.findall(pattern, printed, re.DOTALL | re.MULTILINE)
    priorities = {name: int(re.search(r"priority: (\d+)|$", job)[1] or 0) for name, job in jobs}
    study = config.read(ROOT / STUDY)
    rank = {
        str(one): study.dataset(one.dataset).seeds.index(one.seed) if one.variant == "main" else 10
        for one in study.runs()
    }
    assert priorities.keys() == rank.keys()
    for name, one in rank.items():
        assert all(priorities[name] > priorities[other] for other, later in rank.items() if later > one)
    # what `make archive` keeps with first seeds does not wait for the sweeps
    for rule in ("tsne", "yardsticks"):
        ranks = re.findall(rf"rule {rule}:\n.*?priority: (\d+)", printed, re.DOTALL)
        assert len(ranks) == counted(printed)[rule] and {int(one) for one in ranks} <= {99, 100}


def test_with_precision_auto_the_choice_is_a_part_of_what_decides_a_run(checkout):
    wanted = "mine/results/train/mnist/pca/seed1.json"
    write_small(checkout / "config/mine.yaml", folder="mine/", precision="auto")
    command = [SNAKEMAKE, "--cores", "2", "--config", "study=config/mine.yaml", "--", wanted]
    done = run(checkout, *command)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"data": 1, "machine": 1, "train": 1}
    made = record.read_json(checkout / "mine/results/machine.json")
    assert record.read_json(checkout / wanted)["precision"] == made["precision"]
    assert made["at_once"] == jobs_at_once(2, made["threads"])
    for cores in (["--cores", "1"], ["--dry-run"]):  # other cores are no reason to choose again
        assert "Nothing to be done" in run(checkout, SNAKEMAKE, *cores, *command[3:]).stdout
    other = {"float32": "bfloat16", "bfloat16": "float32"}[made["precision"]]
    record.write_json(checkout / "mine/results/machine.json", made | {"precision": other})
    done = run(checkout, *command)
    assert counted(done.stdout) == {"train": 1}
    assert record.read_json(checkout / wanted)["precision"] == other


# -- Snakemake's report, of a made-up finished run: every output is there, a few bytes each


@pytest.mark.parametrize(
    ("settings", "folder", "numbers"),
    [("results=reference", "from-reference/", "reference/"), (f"study={DEMO}", "demo/", "demo/results/")],
)
def test_the_report_of_a_finished_run_embeds_every_figure_and_table_and_the_paper(
    settings, folder, numbers, checkout
):
    if numbers == "reference/":
        stub_reference(checkout, config.read(ROOT / STUDY))
    for name in outputs(planned(checkout, "--config", settings, "--", "report_contents")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(f"the bytes of {name}")
    command = settings.replace("results", "RESULTS").replace("study", "CONFIG")
    done = run(checkout, "make", "report", command, *MAKE_IN_COPY)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.endswith(f"The report is {folder}results/report.html.\n")
    assert counted(done.stdout) == {}  # the run was finished: nothing was made again
    page = (checkout / folder / "results/report.html").read_text()
    study = config.read(ROOT / (STUDY if numbers == "reference/" else DEMO))
    shown = [f"{folder}figures/{one.name}.png" for one in figure_targets(study)]
    shown += [f"{folder}paper/generated/table_{name}.html" for name in CAPTIONS]
    shown += [f"{folder}paper/paper.pdf", f"{numbers}summary.csv", f"{numbers}runs.csv"]
    for name in shown:
        assert base64.b64encode((checkout / name).read_bytes()).decode() in page, name
    assert all(f'"{spec.category}": [' in page for spec in FIGURES.values())


def test_the_report_of_an_unfinished_study_is_refused(clone):
    done = run(clone, "make", "report", *MAKE_IN_COPY)
    assert done.returncode != 0
    assert "error: the study has not run to its end here; make study first" in done.stdout
    assert not (clone / "results").exists()


# -- the demo, run to its PDF


def test_make_demo_ends_in_a_clean_pdf_and_prints_where_things_are(demo):
    folder, printed = demo
    names = ("demo/paper/paper.pdf", "demo/figures/", "demo/results/summary.csv")
    for line, name in zip(printed.splitlines()[-3:], names, strict=True):
        assert line.endswith(name)
        assert (folder / name).exists()
    assert (folder / "demo/paper/paper.pdf").stat().st_size < 8e6
    log = (folder / "demo/paper/build/paper.log").read_text(encoding="utf-8", errors="replace")
    warnings = r"(?:Reference|Citation) .*undefined|There were undefined|multiply defined|Missing character.*"
    warnings += "|Float too large.*"
    assert not re.findall(warnings, log)
    widths = re.findall(r"^Overfull \\[hv]box \((\d+\.\d+)pt", log, re.MULTILINE)
    assert not [width for width in widths if float(width) > 5]


def test_beside_the_demos_paper_are_its_hashes_and_its_sources_which_tex_alone_compiles(demo):
    paper, settings = demo[0] / "demo/paper", ["--config", f"study={DEMO}"]
    found = record.read_json(paper / "provenance.json")
    assert found["paper_sha256"] == record.sha256(paper / "paper.pdf")
    assert found["records"].keys() == {str(one) for one in config.read(ROOT / DEMO).runs()}
    done = run(demo[0], SNAKEMAKE, "--cores", "1", "demo/paper/arxiv.tar.gz", *settings)
    assert done.returncode == 0, done.stdout[-3000:]  # it compiles what it packs
    assert counted(done.stdout) == {"arxiv": 1}


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext (poppler-utils) is not installed")
def test_every_page_of_the_demo_says_what_it_is(demo):
    command = ["pdftotext", demo[0] / "demo/paper/paper.pdf", "-"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pages = printed.split("\f")[:-1]
    assert 15 <= len(pages) <= 30  # a dozen, and the appendices
    assert "The claims and open comparisons" in " ".join(" ".join(pages[-6:]).split())
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
    printed = planned(folder, *settings)
    assert counted(printed) == {"figure": 1, "paper": 1, "provenance": 1, "all": 1}
    assert "demo/figures/accuracy.pdf" in outputs(printed)
    done = run(folder, SNAKEMAKE, "--cores", "1", "demo/figures/accuracy.pdf", *settings)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"figure": 1}
    assert figure.read_bytes() == before


def test_a_changed_setting_repeats_just_the_runs_that_it_decides(demo):
    folder = demo[0]
    path, settings = folder / "config/changed.yaml", ("--config", "study=config/changed.yaml")
    changed = json.loads(
        json.dumps(yaml.safe_load(text(DEMO)))
    )  # a copy in which nothing is shared by an anchor
    path.write_text(yaml.safe_dump(changed))
    assert not {"train", "evaluate"} & counted(planned(folder, *settings)).keys()
    cifar10 = changed["datasets"]["cifar10"]
    cifar10["methods"]["guided"]["label-smoothing"] = 0.123
    path.write_text(yaml.safe_dump(changed))
    jobs = counted(planned(folder, *settings))
    path.unlink()
    runs = len(cifar10["seeds"])
    runs += sum(len(sweep["variants"]) for sweep in cifar10["sweeps"]["guided"].values())
    repeated = {rule: jobs.get(rule) for rule in ("data", "train", "evaluate", "tsne")}
    assert repeated == {"data": None, "train": runs, "evaluate": runs, "tsne": 1}


def test_everything_printed_comes_from_reference_without_data_or_torch(demo, checkout, tmp_path):
    reference = checkout / "reference"
    shutil.rmtree(reference, ignore_errors=True)
    shutil.copytree(demo[0] / "demo/results", reference, ignore=shutil.ignore_patterns("codes"))
    shutil.copytree(ROOT / "reference/bench", reference / "bench")
    shutil.copy(ROOT / "reference/fault_trials.json", reference)
    before = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()}
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not wanted here')\n")
    settings = ["--config", f"study={DEMO}", "results=reference"]
    paths = f"{tmp_path}:{checkout}/src"
    done = run(checkout, SNAKEMAKE, "--cores", "2", *settings, timeout=600, PYTHONPATH=paths)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (checkout / "from-reference/paper/paper.pdf").exists()
    assert {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()} == before
