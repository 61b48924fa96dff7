# The study, from the published data to the compiled paper, in the order of its method section.
#
#   snakemake --cores 2                                     the study, config/study.yaml
#   snakemake --cores 2 --config study=config/demo.yaml     the demo, under demo/
#   snakemake --cores 2 --config results=reference          figures and paper from reference/, under from-reference/
#   snakemake --cores 1 figures/tsne_cifar10.pdf            one figure, and just what it needs
#
# A cell (data set, run, seed) is trained or measured anew when a setting that decides it changes, and only then: the
# digests below are what Snakemake compares. Progress bars and errors go to the terminal, the rest to {PRE}logs.

import os
import re
import sys
from pathlib import Path

from latents.config import ALLOCATOR, ROWS, digest, read
from latents.report.figures import targets
from latents.report.kept import BESIDE, LIGHT, LIGHT_TSNE, embedded, finished

assert config.keys() <= {"study", "results"}, f"--config knows study= and results=reference, but was given {', '.join(config)}"
assert config.get("results", "reference") == "reference", "--config results= takes one value, reference"

REFERENCE = "results" in config
CONFIG = config.get("study", "reference/study.yaml" if REFERENCE else "config/study.yaml")  # what is in reference/ was made with the one there
STUDY = read(CONFIG)
PRE = "from-reference/" if REFERENCE else STUDY.folder
OUT = f"{PRE}results"  # what training and measuring write; nothing ever writes to reference/
R = "reference" if REFERENCE else OUT  # what figures, tables and the paper read
NOTE = "from reference" if REFERENCE else STUDY.note
GPU = 0 if STUDY.device == "cpu" else 1
CELLS = [f"{dataset}/{run}/seed{seed}" for dataset, run, seed in STUDY.cells()]
JUDGES = {dataset: f"{dataset}/{run}/seed{seed}" for dataset, run, seed in STUDY.judges()}
BUILD = [*Path("src").rglob("*.py"), *Path("config").glob("*.yaml"), "Snakefile", "requirements.lock"]  # the paper prints their hash
PUBLISHED = [path for kind in ("records/**/*.json", "curves/**/*.csv", "pictures/**/*.npz", "summary.csv") for path in Path("reference").glob(kind)]
REPORT = "src/latents/report"
DRAWN = (f"{REPORT}/style.py", f"{REPORT}/summarize.py")  # what every figure's script is drawn with
VERIFIED = [f"{REPORT}/{name}.py" for name in ("verify", "claims", "summarize", "tex")]
NAMES = [name for name, _, _ in targets(STUDY.datasets)]
TABLES = ["settings", "accuracy", "splits", "reconstruction", "separability", "interpolation", "ablation", "cost", "cells"]
# cells of this study that an earlier sitting finished (`make keep`): those whose weights are not here are taken from kept/, not trained again
KEPT = [] if CONFIG.startswith("reference/") else [cell for cell in finished(STUDY, Path("kept") / STUDY.study) if not Path(f"{STUDY.checkpoints}/{cell}.safetensors").exists()]
KEPT_TSNE = embedded(STUDY, KEPT)


def source(*names):
    """Files of the checkout: they lie beside a job, whatever storage its executor brings for the others."""
    return [local(str(name)) for name in names]


def within(path, folder):
    """The folder in the tree that a path below it lies in: an executor's storage has a tree of its own."""
    return f"{str(path).partition(f'{folder}/')[0]}{folder}"


# functions, so that Snakemake does not take another name of the same settings for a reason to run again
SETTINGS = lambda wildcards, input: CONFIG
RESULTS = lambda wildcards, input: within(input[0], R)

# in the image its own Python runs this checkout's code
OWN_PATH, IMAGE_CODE = f"PATH='{Path(sys.executable).parent}':$PATH", 'PYTHONPATH="$PWD/src"'
# Snakemake gives a job no more threads than --cores, but the threads decide the order of sums: they are the study's.
# cuBLAS is told to be deterministic.
shell.prefix(
    f"set -euo pipefail; export {IMAGE_CODE if 'LATENTS_IMAGE' in os.environ else OWN_PATH} "
    f"OMP_NUM_THREADS={STUDY.threads} OPENBLAS_NUM_THREADS={STUDY.threads} MKL_NUM_THREADS={STUDY.threads} "
    f"{' '.join(f'{name}={value}' for name, value in ALLOCATOR.items())} CUBLAS_WORKSPACE_CONFIG=:4096:8; "
)

# the image that `--software-deployment-method apptainer` runs jobs in: LATENTS_IMAGE names it once, built from the Dockerfile. Without it
# only its pinned base is named here, and nothing runs in it.
container: os.environ.get("LATENTS_IMAGE", "docker://debian@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716")

# executors that start jobs on machines of their own bring these along
envvars:
    *(name for name in ("LATENTS_DATA", "LATENTS_CHECKPOINTS") if name in os.environ)

wildcard_constraints:
    dataset="|".join(STUDY.datasets),
    run="[a-z][a-z0-9.-]*",
    seed="[0-9]+",

ruleorder: kept > train
ruleorder: kept > evaluate
ruleorder: kept_tsne > tsne

rule all:
    input:
        f"{PRE}paper/paper.pdf",
        expand(f"{PRE}figures/{{name}}.{{kind}}", name=NAMES, kind=["pdf", "png"]),
        [] if REFERENCE else f"{OUT}/summary.csv",

# -- Data: fetched or found, every file checked by its hash before it is read

rule data:
    output:
        manifest=f"{OUT}/data/{{dataset}}.json",
    params:
        config=SETTINGS,
        source=STUDY.source,
    log:
        f"{PRE}logs/data/{{dataset}}.log",
    shell:
        "python -m latents.fetch --config {params.config} --dataset {wildcards.dataset} --out {output.manifest} > {log}"

# -- Encoders: one training job for each cell; the judge, a classifier that is no row, is trained by the same rule

rule train:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
    output:
        weights=ensure(f"{STUDY.checkpoints}/{{dataset}}/{{run}}/seed{{seed}}.safetensors", non_empty=True),
        trained=f"{OUT}/train/{{dataset}}/{{run}}/seed{{seed}}.json",
        curve=f"{OUT}/curves/{{dataset}}/{{run}}/seed{{seed}}.csv",
        timing=f"{OUT}/timing/{{dataset}}/{{run}}/seed{{seed}}.train.json",
    params:
        config=SETTINGS,
        digest=lambda w: digest(STUDY.training(w.dataset, w.run, int(w.seed))),
    log:
        f"{PRE}logs/train/{{dataset}}/{{run}}/seed{{seed}}.log",
    threads: STUDY.threads
    resources:
        gpu=GPU,
    shell:
        "python -m latents.train --config {params.config} --dataset {wildcards.dataset} --run {wildcards.run} --seed {wildcards.seed}"
        " --out {output.weights} --record {output.trained} --curve {output.curve} --timing {output.timing} > {log}"

# -- Measurements: codes, probes, reconstruction, geometry, interpolation. The only rule that reads the test split.

rule evaluate:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
        weights=f"{STUDY.checkpoints}/{{dataset}}/{{run}}/seed{{seed}}.safetensors",
        trained=f"{OUT}/train/{{dataset}}/{{run}}/seed{{seed}}.json",
        judge=lambda w: f"{STUDY.checkpoints}/{JUDGES[w.dataset]}.safetensors",
        judge_trained=lambda w: f"{OUT}/train/{JUDGES[w.dataset]}.json",
    output:
        record=f"{OUT}/records/{{dataset}}/{{run}}/seed{{seed}}.json",
        codes=ensure(f"{OUT}/codes/{{dataset}}/{{run}}/seed{{seed}}.npz", non_empty=True),
        sample=f"{OUT}/samples/{{dataset}}/{{run}}/seed{{seed}}.npz",
        pictures=f"{OUT}/pictures/{{dataset}}/{{run}}/seed{{seed}}.npz",
        timing=f"{OUT}/timing/{{dataset}}/{{run}}/seed{{seed}}.evaluate.json",
    params:
        config=SETTINGS,
        digest=lambda w: digest(STUDY.measuring(w.dataset, w.run, int(w.seed))),
    log:
        f"{PRE}logs/evaluate/{{dataset}}/{{run}}/seed{{seed}}.log",
    threads: STUDY.threads
    resources:
        gpu=GPU,
    shell:
        "python -m latents.evaluate --final --config {params.config} --dataset {wildcards.dataset} --run {wildcards.run}"
        " --seed {wildcards.seed} --weights {input.weights} --trained {input.trained}"
        " --judge {input.judge} --judge-trained {input.judge_trained}"
        " --out {output.record} --codes {output.codes} --sample {output.sample} --pictures {output.pictures} --timing {output.timing} > {log}"

rule kept:
    input:
        source(*(f"kept/{STUDY.study}/{name.format('{cell}')}" for name in LIGHT)),
    output:
        [f"{OUT}/{name.format('{cell}')}" for name in LIGHT],
    wildcard_constraints:
        cell="|".join(map(re.escape, KEPT)) or "none",
    log:
        f"{PRE}logs/kept/{{cell}}.log",
    shell:
        'from=({input}); to=({output}); for i in "${{!from[@]}}"; do cp "${{from[i]}}" "${{to[i]}}"; done &> {log}'

use rule kept as kept_tsne with:
    input:
        source(*(f"kept/{STUDY.study}/{name.format('{place}')}" for name in LIGHT_TSNE)),
    output:
        [f"{OUT}/{name.format('{place}')}" for name in LIGHT_TSNE],
    wildcard_constraints:
        place="|".join(map(re.escape, KEPT_TSNE)) or "none",
    log:
        f"{PRE}logs/kept_tsne/{{place}}.log",

rule tsne:
    input:
        codes=lambda w: f"{OUT}/codes/{w.dataset}/{w.run}/seed{STUDY.datasets[w.dataset].seeds[0]}.npz",
    output:
        points=f"{OUT}/tsne/{{dataset}}/{{run}}.csv",
        record=f"{OUT}/tsne/{{dataset}}/{{run}}.json",
        timing=f"{OUT}/timing/{{dataset}}/{{run}}/tsne.json",
    params:
        config=SETTINGS,
        digest=digest([STUDY.measurement, STUDY.threads]),
    log:
        f"{PRE}logs/tsne/{{dataset}}/{{run}}.log",
    threads: STUDY.threads
    shell:
        "python -m latents.tsne --config {params.config} --codes {input.codes}"
        " --out {output.points} --record {output.record} --timing {output.timing} > {log}"

rule similarity:
    input:
        samples=lambda w: [f"{OUT}/samples/{w.dataset}/{run}/seed{seed}.npz" for run, seed in STUDY.runs(w.dataset) if run in ROWS],
    output:
        cka=f"{OUT}/similarity/{{dataset}}.csv",
    params:
        config=SETTINGS,
    log:
        f"{PRE}logs/similarity/{{dataset}}.log",
    shell:
        "python -m latents.similarity --config {params.config} --dataset {wildcards.dataset} --samples {input.samples} --out {output.cka} > {log}"

# -- Statistics: every number of every cell, then means and intervals over seeds

rule summarize:
    input:
        records=expand(f"{OUT}/records/{{cell}}.json", cell=CELLS),
        beside=expand(f"{OUT}/{{name}}", name=[name.format(cell) for cell in CELLS for name in BESIDE]),
        tsne=expand(f"{OUT}/tsne/{{dataset}}/{{run}}.{{kind}}", dataset=STUDY.datasets, run=ROWS, kind=["json", "csv"]),
        code=source(f"{REPORT}/summarize.py"),
    output:
        runs=f"{OUT}/runs.csv",
        summary=f"{OUT}/summary.csv",
    params:
        config=SETTINGS,
        results=lambda wildcards, input: within(input.records[0], OUT),
    log:
        f"{PRE}logs/summarize.log",
    shell:
        "python -m latents.report.summarize --config {params.config} --results {params.results}"
        " --out-runs {output.runs} --out-summary {output.summary} > {log}"

# -- Replay: this run beside the one in reference/ (make verify), or one cell of it (make verify-quick)

rule verify:
    input:
        tables=[f"{OUT}/runs.csv", f"{OUT}/summary.csv"],
        records=expand(f"{OUT}/records/{{cell}}.json", cell=CELLS),
        beside=expand(f"{OUT}/{{name}}", name=[name.format(cell) for cell in CELLS for name in ("curves/{}.csv", "pictures/{}.npz")]),
        published=source("reference/runs.csv", *PUBLISHED),
        code=source(*VERIFIED),
    output:
        found=f"{OUT}/verify.json",
        report=f"{OUT}/verify.md",
    params:
        config=SETTINGS,
        results=lambda wildcards, input: within(input[0], OUT),
        reference=lambda wildcards, input: Path(input.published[0]).parent,
        cell="",
    log:
        f"{PRE}logs/verify.log",
    shell:
        "python -m latents.report.verify --config {params.config} --results {params.results} --reference {params.reference}"
        " --out {output.found} --report {output.report} {params.cell} > {log}"

use rule verify as verify_cell with:
    input:
        record=f"{OUT}/records/{{dataset}}/{{run}}/seed{{seed}}.json",
        beside=[f"{OUT}/curves/{{dataset}}/{{run}}/seed{{seed}}.csv", f"{OUT}/pictures/{{dataset}}/{{run}}/seed{{seed}}.npz"],
        published=source("reference/runs.csv", *PUBLISHED),
        code=source(*VERIFIED),
    output:
        found=f"{OUT}/verify/{{dataset}}/{{run}}/seed{{seed}}.json",
        report=f"{OUT}/verify/{{dataset}}/{{run}}/seed{{seed}}.md",
    params:
        config=SETTINGS,
        results=lambda wildcards, input: within(input[0], OUT),
        reference=lambda wildcards, input: Path(input.published[0]).parent,
        cell="--cell {dataset}/{run}/seed{seed}",
    log:
        f"{PRE}logs/verify/{{dataset}}/{{run}}/seed{{seed}}.log",

# -- Figures: one script each; they read results, never train, and do not import torch

rule reconstructions:
    input:
        pictures=lambda w: expand(f"{R}/pictures/{w.dataset}/{{run}}/seed{STUDY.datasets[w.dataset].seeds[0]}.npz", run=ROWS),
        code=source(f"{REPORT}/figures/reconstructions.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/reconstructions_{{dataset}}", pdf=".pdf", png=".png"),
    params:
        figure=lambda wildcards, input: Path(input.code[0]).stem,
        config=SETTINGS,
        results=RESULTS,
        note=NOTE,
    log:
        f"{PRE}logs/reconstructions/{{dataset}}.log",
    shell:
        "python -m latents.report.figures.{params.figure} --config {params.config} --results {params.results}"
        " --dataset {wildcards.dataset} --note={params.note:q} --out {output.pdf} > {log}"

use rule reconstructions as tsne_figure with:
    input:
        points=expand(f"{R}/tsne/{{{{dataset}}}}/{{run}}.{{kind}}", run=ROWS, kind=["csv", "json"]),
        code=source(f"{REPORT}/figures/tsne.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/tsne_{{dataset}}", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/tsne_figure/{{dataset}}.log",

use rule reconstructions as interpolations with:
    input:
        pictures=lambda w: expand(f"{R}/pictures/{w.dataset}/{{run}}/seed{STUDY.datasets[w.dataset].seeds[0]}.npz", run=ROWS),
        code=source(f"{REPORT}/figures/interpolations.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/interpolations_{{dataset}}", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/interpolations/{{dataset}}.log",

use rule reconstructions as curves with:
    input:
        curves=lambda w: expand(f"{R}/curves/{w.dataset}/{{run}}/seed{{seed}}.csv", run=ROWS[2:], seed=STUDY.datasets[w.dataset].seeds),
        code=source(f"{REPORT}/figures/curves.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/curves_{{dataset}}", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/curves/{{dataset}}.log",

rule accuracy:
    input:
        summary=f"{R}/summary.csv",
        code=source(f"{REPORT}/figures/accuracy.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/accuracy", pdf=".pdf", png=".png"),
    params:
        figure=lambda wildcards, input: Path(input.code[0]).stem,
        config=SETTINGS,
        results=RESULTS,
        note=NOTE,
    log:
        f"{PRE}logs/accuracy.log",
    shell:
        "python -m latents.report.figures.{params.figure} --config {params.config} --results {params.results}"
        " --note={params.note:q} --out {output.pdf} > {log}"

use rule accuracy as few_labels with:
    input:
        summary=f"{R}/summary.csv",
        code=source(f"{REPORT}/figures/few_labels.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/few_labels", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/few_labels.log",

use rule accuracy as sweeps with:
    input:
        summary=f"{R}/summary.csv",
        code=source(f"{REPORT}/figures/sweeps.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/sweeps", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/sweeps.log",

use rule accuracy as reconstruction_error with:
    input:
        summary=f"{R}/summary.csv",
        code=source(f"{REPORT}/figures/reconstruction_error.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/reconstruction_error", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/reconstruction_error.log",

use rule accuracy as separability with:
    input:
        summary=f"{R}/summary.csv",
        code=source(f"{REPORT}/figures/separability.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/separability", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/separability.log",

use rule accuracy as similarity_figure with:
    input:
        cka=expand(f"{R}/similarity/{{dataset}}.csv", dataset=STUDY.datasets),
        code=source(f"{REPORT}/figures/similarity.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/similarity", pdf=".pdf", png=".png"),
    log:
        f"{PRE}logs/similarity_figure.log",

# the benchmark is of a machine, not of a run: the committed one (`make bench` measures another)
use rule accuracy as speed with:
    input:
        bench=local("reference/bench.json"),
        code=source(f"{REPORT}/figures/speed.py", *DRAWN),
    output:
        multiext(f"{PRE}figures/speed", pdf=".pdf", png=".png"),
    params:
        figure=lambda wildcards, input: Path(input.code[0]).stem,
        config=SETTINGS,
        results=lambda wildcards, input: Path(input.bench).parent,
        note=NOTE,
    log:
        f"{PRE}logs/speed.log",

# -- Paper: tables and number macros, then TeX; no number is typed into the prose

rule tables:
    input:
        summary=f"{R}/summary.csv",
        similarity=expand(f"{R}/similarity/{{dataset}}.csv", dataset=STUDY.datasets),
        records=expand(f"{R}/records/{{cell}}.json", cell=CELLS),
        training=expand(f"{R}/timing/{{cell}}.train.json", cell=[*CELLS, *JUDGES.values()]),
        evaluation=expand(f"{R}/timing/{{cell}}.evaluate.json", cell=CELLS),
        build=source(*BUILD),
    output:
        macros=f"{PRE}paper/generated/macros.tex",
        tables=expand(f"{PRE}paper/generated/table_{{name}}.tex", name=TABLES),
    params:
        config=SETTINGS,
        results=RESULTS,
        digest=digest(STUDY),
        out=lambda wildcards, output: Path(output.macros).parent,
    log:
        f"{PRE}logs/tables.log",
    shell:
        "python -m latents.report.tables --config {params.config} --results {params.results} --out {params.out} > {log}"

# from reference/ a claim that does not hold is an error; elsewhere the paper says so in the sentence's place
rule claims:
    input:
        claims=local("paper/claims.yaml"),
        records=expand(f"{R}/records/{{cell}}.json", cell=CELLS),
        code=source(*(f"{REPORT}/{name}.py" for name in ("claims", "summarize", "style", "tex"))),
    output:
        macros=f"{PRE}paper/generated/macros_claims.tex",
        table=f"{PRE}paper/generated/table_claims.tex",
        record=f"{PRE}paper/generated/claims.json",
    params:
        config=SETTINGS,
        results=lambda wildcards, input: within(input.records[0], R),
        strict="--strict" if REFERENCE and CONFIG == "reference/study.yaml" else "",
    log:
        f"{PRE}logs/claims.log",
    shell:
        "python -m latents.report.claims --config {params.config} --claims {input.claims} --results {params.results}"
        " --out {output.macros} --table {output.table} --record {output.record} {params.strict} > {log}"

rule speed_table:
    input:
        bench=local("reference/bench.json"),
        code=source(*(f"{REPORT}/{name}.py" for name in ("speed", "tex", "style"))),
    output:
        macros=f"{PRE}paper/generated/macros_speed.tex",
        table=f"{PRE}paper/generated/table_speed.tex",
    params:
        out=lambda wildcards, output: Path(output.macros).parent,
    log:
        f"{PRE}logs/speed_table.log",
    shell:
        "python -m latents.report.speed --bench {input.bench} --out {params.out} > {log}"

# the trials are of the workflow, not of a run: those that were made before the committed one (`make trials` makes others)
rule replay:
    input:
        trials=local("reference/trials.json"),
        code=source(f"{REPORT}/replay.py", f"{REPORT}/tex.py"),
    output:
        macros=f"{PRE}paper/generated/macros_replay.tex",
    log:
        f"{PRE}logs/replay.log",
    shell:
        "python -m latents.report.replay --trials {input.trials} --out {output.macros} > {log}"

rule paper:
    input:
        tex=local("paper/paper.tex"),
        references=local("paper/refs.bib"),
        generated=[*rules.tables.output, *rules.claims.output, *rules.speed_table.output, *rules.replay.output],
        figures=expand(f"{PRE}figures/{{name}}.pdf", name=NAMES),
    output:
        pdf=ensure(f"{PRE}paper/paper.pdf", non_empty=True),
    params:
        build=lambda wildcards, output: Path(output.pdf).with_name("build"),
    log:
        f"{PRE}logs/paper.log",
    shell:
        "rm -rf {params.build}; mkdir -p {params.build}; cp {input.tex} {input.references} {params.build}; "
        "(cd {params.build} && latexmk -pdf -interaction=nonstopmode -halt-on-error paper.tex) &> {log}"
        " || (tail -n 40 {log} >&2; grep -A 6 '^!' {log} >&2; exit 1); "
        "cp {params.build}/paper.pdf {output.pdf}"
