# What the rules share: where files lie, what makes a job run again, and the environment of every job.

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from latents import record
from latents.cli import Problem
from latents.config import read, settled
from latents.host import SHARE, has_gpu, jobs_at_once, memory
from latents.plain import digest
from latents.study import ALLOCATOR, REFERENCE_CLASSIFIER, Run
from latents.report.archive import (
    BESIDE, WEIGHTS, classifiers, described, embedded, finished, measured, started_from,
)
from latents.report.figures import FIGURES, caption, figure_inputs, figure_targets
from latents.report.page import CAPTIONS, TABLES
from latents.report.read import benchmarks
from latents.report.typeset import source as paper_source

if not Path("rules/common.smk").exists():
    raise WorkflowError(f"the study runs in its checkout: cd {workflow.basedir} and run snakemake there")
if unknown := sorted(config.keys() - {"study", "results"}):
    raise WorkflowError(f"--config knows study= and results=reference, but was given {', '.join(unknown)}")
if config.get("results", "reference") != "reference":
    raise WorkflowError("--config results= takes one value, reference")

REFERENCE = "results" in config
# reference/ was made with the configuration that lies there
CONFIG = config.get("study", "reference/study.yaml" if REFERENCE else "config/study.yaml")
if not isinstance(CONFIG, str) or not CONFIG:
    raise WorkflowError("--config study= names a file, like study=config/demo.yaml")
for name in ("LATENTS_DATA", "LATENTS_CHECKPOINTS"):
    if os.environ.get(name, "").startswith("~") or set("{}") & set(os.environ.get(name, "")):
        said = "is no plain path; write it whole, without ~ { and }"
        raise WorkflowError(f"{name}: {os.environ[name]!r} {said}")
try:
    STUDY = read(CONFIG)
except Problem as problem:
    raise WorkflowError(str(problem)) from None
PRE = "from-reference/" if REFERENCE else STUDY.folder
OUT = f"{PRE}results"  # where training and evaluation write; no rule writes to reference/
R = "reference" if REFERENCE else OUT  # where figures, tables and the paper read
NOTE = "from reference" if REFERENCE else STUDY.note
# a job asks for a GPU if it is to run on one: here there may be none, on another machine there is
GPU = int(STUDY.device == "cuda" or (STUDY.device == "auto" and (has_gpu() or not workflow.local_exec)))
if workflow.local_exec:  # as many jobs at once as cores and memory allow
    workflow.global_resources.setdefault("mem_mb", int(SHARE * memory() / 1e6))

# with `precision: auto`, the file that holds what was chosen; a study that was begun keeps to its choice
MACHINE = ancient(f"{OUT}/machine.json") if STUDY.precision == "auto" else []
BEGUN = Path(f"archive/{STUDY.study}/machine.json")

RUN = "{dataset}/{method}/seed{seed}"  # any run, in wildcards
RUNS = [str(run) for run in STUDY.runs()]
CLASSIFIERS = {dataset: str(run) for dataset, run in STUDY.reference_classifiers().items()}
EMBEDDINGS = expand("{dataset}/{method}", dataset=STUDY.datasets, method=STUDY.methods)  # of first seeds
FIGURE = {target.name: target for target in figure_targets(STUDY)}
BUILD = [path.relative_to(record.ROOT) for path in record.build_files()]  # the paper prints their hash


def source(*names):
    """Files of the checkout, which every job sees, whatever storage its executor brings for the others."""
    return [local(str(name)) for name in names]


def module(*names):
    """Source files of latents.report: a job that has them as input runs again when they change."""
    return source(*(f"src/latents/report/{name}.py" for name in names))


# the tables of methods, probes and data sets: how each is printed and drawn
LOOKS = source(
    "src/latents/methods/__init__.py",
    "src/latents/metrics.py",
    *sorted(Path("src/latents/datasets").glob("*.py")),
)


def within(path, folder):
    """The path of a folder, taken from a file in it: an executor's storage has a tree of its own."""
    return f"{str(path).partition(f'{folder}/')[0]}{folder}"


# Functions of the input, which Snakemake does not compare: another path to the same settings is no reason to
# run again.
def settings(wildcards, input):
    return CONFIG


def results(wildcards, input):
    return within(input[0], R)


def settled_study():
    """The study in its precision, once that is chosen: the digest of a run holds it."""
    found = next((path for path in (Path(OUT) / "machine.json", BEGUN) if path.exists()), None)
    try:
        return settled(STUDY, found) if found else STUDY
    except Problem as problem:
        raise WorkflowError(str(problem)) from None


def machine_option(wildcards, input):
    return f"--machine {shlex.quote(str(input.machine))}" if MACHINE else ""


def progress_command(wildcards, input, output):
    """With `precision: auto`, prints what is done and left of the study after a run."""
    if not MACHINE:
        return ""
    paths = {"config": CONFIG, "machine": str(input.machine), "results": within(output.record, OUT)}
    options = " ".join(f"--{name} {shlex.quote(path)}" for name, path in paths.items())
    cores = workflow.resource_settings.cores
    forecast = f"python -m latents.report.forecast {options} {f'--cores {cores}' if cores else ''}"
    return f"&& ({forecast} >&2 || true)"  # the run is finished whatever the forecast does


def priority(wildcards):
    """First seeds of all methods come first, then further seeds, then sweeps."""
    if wildcards.method == REFERENCE_CLASSIFIER:  # every evaluation needs it
        return 100
    if "." in wildcards.method:
        return 1
    return 99 - min(STUDY.dataset(wildcards.dataset).seeds.index(int(wildcards.seed)), 97)


def run_of(wildcards):
    return Run(wildcards.dataset, wildcards.method, int(wildcards.seed))


def start(wildcards):
    """The weights that a training starts from, where it does not start anew."""
    other = STUDY.start(run_of(wildcards))
    return weights_of(other) if other else []


def main_runs(dataset):
    """The runs of a data set, without those of variants."""
    return [run for run in STUDY.runs(dataset) if run.variant == "main"]


def figure_script(wildcards):
    return FIGURE[wildcards.name].script


def figure_code(wildcards):
    """A figure's script, the modules that it uses, and the tables of looks."""
    script = figure_script(wildcards)
    others = {"speed": ["speed"], "tradeoff": ["labels", "figures/reconstructions"]}.get(script, [])
    used = ("figures/__init__", "style", "scales", "sheets", "summarize", "read", *others)
    return LOOKS + module(f"figures/{script}", *used)


def figure_dataset(wildcards):
    """The option that names a figure's data set, where it is of one."""
    dataset = FIGURE[wildcards.name].dataset
    return f"--dataset {dataset}" if dataset else ""


def benchmark_records(wildcards):
    """The committed records of the benchmark, a file a kind of processor."""
    return source(*benchmarks(Path("reference")))


def figure_folder(wildcards):
    """Where a figure's data are. The benchmark is of a machine, not of a study: it is the committed one."""
    return "reference" if figure_script(wildcards) == "speed" else R


def figure_data(wildcards):
    """The files that a figure reads."""
    _, script, dataset = FIGURE[wildcards.name]
    if script == "speed":
        return benchmark_records(wildcards)
    return [f"{R}/{name}" for name in figure_inputs(STUDY, script, dataset)]


def figure_labels(wildcards):
    """How Snakemake's report lists a figure."""
    return {
        "figure": figure_script(wildcards).replace("_", " "),
        "data set": FIGURE[wildcards.name].dataset or "all",
    }


# what an interrupted study had finished, and archived
ARCHIVE = Path(f"archive/{STUDY.study}")
TAKEN = ARCHIVE.is_dir() and not CONFIG.startswith("reference/")  # `make verify` takes nothing


def trained_here(run):
    return Path(f"{STUDY.checkpoints}/{run}.safetensors").exists()


@cache
def archived_weights(run):
    """The weights of an archived run, if they were archived with it."""
    path = ARCHIVE / WEIGHTS.format(run)
    return path if described(ARCHIVE, run, path) else None


def weights_of(run):
    """A run's weights; in archive/ where it is taken from there."""
    if run in (*ARCHIVED, *ARCHIVED_CLASSIFIERS) and (path := archived_weights(run)):
        return source(path)
    return f"{STUDY.checkpoints}/{run}.safetensors"


DONE = finished(settled_study(), ARCHIVE) if TAKEN else []
STARTS = started_from(STUDY, DONE)  # not taken without their weights
ARCHIVED = [run for run in DONE if not trained_here(run) and (run not in STARTS or archived_weights(run))]
ARCHIVED_CLASSIFIERS = [
    run
    for run in (classifiers(settled_study(), ARCHIVE, ARCHIVE / "weights") if TAKEN else [])
    if not trained_here(run)
]
# of the data sets whose reference classifier was not trained here
OTHERS = {run.dataset for run in ARCHIVED_CLASSIFIERS}
ARCHIVED_YARDSTICKS = OTHERS.intersection(measured(settled_study(), ARCHIVE)) if OTHERS else []


# the run of each method that the explorer shows
FIRST = {dataset: f"seed{STUDY.dataset(dataset).seeds[0]}" for dataset in STUDY.datasets}


def first_weights(wildcards):
    """The weights of a method's first seed, made here: an archived run has neither weights nor codes."""
    if taken := embedded(STUDY, ARCHIVED):
        raise WorkflowError(
            f"{', '.join(taken)}: taken from {ARCHIVE}/, without weights and codes, "
            f"which the explorer needs; move {ARCHIVE}/ away and run again to make them"
        )
    run = f"{wildcards.dataset}/{wildcards.method}/{FIRST[wildcards.dataset]}"
    return f"{STUDY.checkpoints}/{run}.safetensors"


def any_of(names):
    """A pattern of these names; one that is no name where there are none."""
    return "|".join(sorted(re.escape(str(name)) for name in names)) or "none"


# Jobs run this checkout's code: in the image Python finds it here, elsewhere it is installed with Snakemake.
OWN_PATH = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
IMAGE_CODE = 'PYTHONPATH="$PWD/src"'
# The number of threads decides the order of sums, so it is the study's; Snakemake alone would give a job no
# more than --cores. cuBLAS is made deterministic; matplotlib does not ask for a screen.
shell.prefix(
    f"set -euo pipefail; export {IMAGE_CODE if os.environ.get('LATENTS_IMAGE') else OWN_PATH} "
    f"OMP_NUM_THREADS={STUDY.threads} OPENBLAS_NUM_THREADS={STUDY.threads} MKL_NUM_THREADS={STUDY.threads} "
    f"{' '.join(f'{name}={value}' for name, value in ALLOCATOR.items())} "
    "CUBLAS_WORKSPACE_CONFIG=:4096:8 MPLBACKEND=agg; "
)

# The image in which `--software-deployment-method apptainer` runs jobs: LATENTS_IMAGE, built from the
# Dockerfile. Without it only its pinned base is named here, and nothing runs in it.
BASE = "docker://debian@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716"
container: os.environ.get("LATENTS_IMAGE") or BASE

# for executors that start jobs on other machines
envvars:
    *(name for name in ("LATENTS_DATA", "LATENTS_CHECKPOINTS") if name in os.environ)

wildcard_constraints:
    dataset="|".join(STUDY.datasets),
    method="[a-z][a-z0-9.-]*",
    seed="[0-9]+",
    name="|".join(FIGURE),
    table="|".join(CAPTIONS),

report: "overview.rst"
