# The study, from the published data to the compiled paper, in the order of its method section.
#
#   snakemake --cores 2                                    the study, config/study.yaml
#   snakemake --cores 2 --config study=config/demo.yaml    the demo, under demo/
#   snakemake --cores 2 --config results=reference         its figures and paper, under from-reference/
#   snakemake --cores 1 figures/tsne_cifar10.pdf           one figure, and just what it needs
#
# A run (data set, method, seed) is made again when its settings change (the digests below), and only then.
# Progress and errors go to the terminal, the rest to logs/. Paths and helpers are in rules/common.smk.

include: "rules/common.smk"

rule all:
    input:
        expand(f"{PRE}paper/{{name}}", name=["paper.pdf", "provenance.json"]),
        expand(f"{PRE}figures/{{name}}.{{kind}}", name=FIGURE, kind=["pdf", "png"]),
        [] if REFERENCE else f"{OUT}/summary.csv",

include: "rules/archive.smk"  # runs that an interrupted study had finished
include: "rules/machine.smk"  # the precision for this machine; the benchmark and the fault trials
include: "rules/verify.smk"  # make verify
include: "rules/report.smk"  # make report
include: "rules/yardsticks.smk"  # what needs no code
include: "rules/explorer.smk"  # make explorer

# -- Data: fetched or found, every file checked by its hash before it is read

rule data:
    output:
        manifest=f"{OUT}/data/{{dataset}}.json",
    params:
        config=settings, source=STUDY.source,
    log: f"{PRE}logs/data/{{dataset}}.log"
    shell:
        "python -m latents.fetch --config {params.config:q} --dataset {wildcards.dataset}"
        " --out {output.manifest:q} > {log:q}"

# -- Training: one job for each run, and one for the reference classifier of each data set

rule train:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
        machine=MACHINE,
        start=start,
    output:
        weights=ensure(f"{STUDY.checkpoints}/{RUN}.safetensors", non_empty=True),
        trained=f"{OUT}/train/{RUN}.json",
        curve=f"{OUT}/curves/{RUN}.csv",
        timing=f"{OUT}/timing/{RUN}.train.json",
    params:
        config=settings, machine=machine_option,
        digest=lambda w: digest(settled_study().training(run_of(w))),
    log: f"{PRE}logs/train/{RUN}.log"
    threads: STUDY.threads
    priority: priority
    resources: gpu=GPU, mem_mb=2500
    shell:
        "python -m latents.train --config {params.config:q} {params.machine} --dataset {wildcards.dataset}"
        " --method {wildcards.method} --seed {wildcards.seed} --start {input.start:q}"
        " --out {output.weights:q} --record {output.trained:q} --curve {output.curve:q}"
        " --timing {output.timing:q} > {log:q}"

# -- Evaluation: codes, probes, reconstruction, geometry, paths; this and the yardsticks read the test split

rule evaluate:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
        machine=MACHINE,
        weights=f"{STUDY.checkpoints}/{RUN}.safetensors",
        trained=f"{OUT}/train/{RUN}.json",
        classifier=lambda w: weights_of(STUDY.reference_classifiers()[w.dataset]),
        classifier_trained=lambda w: f"{OUT}/train/{CLASSIFIERS[w.dataset]}.json",
    output:
        record=f"{OUT}/records/{RUN}.json",
        codes=ensure(f"{OUT}/codes/{RUN}.npz", non_empty=True),
        sample=f"{OUT}/samples/{RUN}.npz",
        pictures=f"{OUT}/pictures/{RUN}.npz",
        timing=f"{OUT}/timing/{RUN}.evaluate.json",
    params:
        config=settings, machine=machine_option, progress=progress_command,
        digest=lambda w: digest(settled_study().measuring(run_of(w))),
    log: f"{PRE}logs/evaluate/{RUN}.log"
    threads: STUDY.threads
    priority: priority
    resources: gpu=GPU, mem_mb=3500
    shell:
        "python -m latents.evaluate --final --config {params.config:q} {params.machine}"
        " --dataset {wildcards.dataset} --method {wildcards.method} --seed {wildcards.seed}"
        " --weights {input.weights:q} --trained {input.trained:q}"
        " --classifier {input.classifier:q} --classifier-trained {input.classifier_trained:q}"
        " --out {output.record:q} --codes {output.codes:q} --sample {output.sample:q}"
        " --pictures {output.pictures:q} --timing {output.timing:q} > {log:q} {params.progress}"

rule tsne:
    input:
        codes=lambda w: f"{OUT}/codes/{w.dataset}/{w.method}/seed{STUDY.dataset(w.dataset).seeds[0]}.npz",
    output:
        points=f"{OUT}/tsne/{{dataset}}/{{method}}.csv",
        record=f"{OUT}/tsne/{{dataset}}/{{method}}.json",
        timing=f"{OUT}/timing/{{dataset}}/{{method}}/tsne.json",
    params:
        config=settings, digest=digest([STUDY.measurement, STUDY.threads]),
    log: f"{PRE}logs/tsne/{{dataset}}/{{method}}.log"
    threads: STUDY.threads
    priority: 100  # archived with the first seeds
    shell:
        "python -m latents.tsne --config {params.config:q} --codes {input.codes:q}"
        " --out {output.points:q} --record {output.record:q} --timing {output.timing:q} > {log:q}"

rule similarity:
    input:
        samples=lambda w: expand(f"{OUT}/samples/{{run}}.npz", run=main_runs(w.dataset)),
    output:
        cka=f"{OUT}/similarity/{{dataset}}.csv",
    params: config=settings
    log: f"{PRE}logs/similarity/{{dataset}}.log"
    shell:
        "python -m latents.similarity --config {params.config:q} --dataset {wildcards.dataset}"
        " --samples {input.samples:q} --out {output.cka:q} > {log:q}"

# -- Statistics: every number of every run, then means and intervals over seeds

rule summarize:
    input:
        records=expand(f"{OUT}/records/{{run}}.json", run=RUNS),
        beside=expand(f"{OUT}/{{name}}", name=[name.format(run) for run in RUNS for name in BESIDE]),
        tsne=expand(f"{OUT}/tsne/{{embedding}}.{{kind}}", embedding=EMBEDDINGS, kind=["json", "csv"]),
        yardsticks=expand(f"{OUT}/yardsticks/{{dataset}}.json", dataset=STUDY.datasets),
        code=module("summarize", "read"),
    output:
        runs=f"{OUT}/runs.csv",
        summary=f"{OUT}/summary.csv",
    params:
        config=settings,
        results=lambda wildcards, input: within(input.records[0], OUT),
    log: f"{PRE}logs/summarize.log"
    shell:
        "python -m latents.report.summarize --config {params.config:q} --results {params.results:q}"
        " --out-runs {output.runs:q} --out-summary {output.summary:q} > {log:q}"

# -- Figures: one script each; they read results, never train, and do not import torch

rule figure:
    input:
        data=figure_data,
        code=figure_code,
    output:
        pdf=f"{PRE}figures/{{name}}.pdf",
        png=report(
            f"{PRE}figures/{{name}}.png",
            category="Figures", subcategory=lambda w: FIGURES[figure_script(w)].category,
            labels=figure_labels, caption="rules/caption.rst",
        ),
    params:
        script=figure_script, dataset=figure_dataset,
        config=settings,
        results=lambda wildcards, input: within(input.data[0], figure_folder(wildcards)),
        note=lambda wildcards: NOTE,  # a function, since a string may not hold braces
        caption=lambda wildcards, input: caption(figure_script(wildcards)),
    log: f"{PRE}logs/figures/{{name}}.log"
    shell:
        "python -m latents.report.figures.{params.script} --config {params.config:q}"
        " --results {params.results:q} {params.dataset} --note={params.note:q} --out {output.pdf:q} > {log:q}"

# -- Paper: tables and number macros, then TeX; no number is typed into the prose

rule tables:
    input:
        summary=f"{R}/summary.csv",
        similarity=expand(f"{R}/similarity/{{dataset}}.csv", dataset=STUDY.datasets),
        records=expand(f"{R}/records/{{run}}.json", run=RUNS),
        training=expand(f"{R}/timing/{{run}}.train.json", run=[*RUNS, *CLASSIFIERS.values()]),
        evaluation=expand(f"{R}/timing/{{run}}.evaluate.json", run=RUNS),
        build=source(*BUILD, "CITATION.cff", "paper/tuning.yaml"),
    output:
        macros=f"{PRE}paper/generated/macros.tex",
        tables=expand(f"{PRE}paper/generated/table_{{name}}.tex", name=TABLES),
    params:
        config=settings, results=results, digest=digest(STUDY),
        out=lambda wildcards, output: Path(output.macros).parent,
    log: f"{PRE}logs/tables.log"
    shell:
        "python -m latents.report.tables --config {params.config:q} --results {params.results:q}"
        " --out {params.out:q} > {log:q}"

# From reference/ a claim that does not hold is an error; elsewhere the paper says so in the sentence's place.
rule claims:
    input:
        claims=local("paper/claims.yaml"),
        records=expand(f"{R}/records/{{run}}.json", run=RUNS),
        code=LOOKS + module("claims", "bootstrap", "summarize", "style", "tex", "read"),
    output:
        macros=f"{PRE}paper/generated/macros_claims.tex",
        table=f"{PRE}paper/generated/table_claims.tex",
        record=f"{PRE}paper/generated/claims.json",
    params:
        config=settings,
        results=lambda wildcards, input: within(input.records[0], R),
        strict="--strict" if REFERENCE and CONFIG == "reference/study.yaml" else "",
    log: f"{PRE}logs/claims.log"
    shell:
        "python -m latents.report.claims --config {params.config:q} --claims {input.claims:q}"
        " --results {params.results:q} --out {output.macros:q} --table {output.table:q}"
        " --record {output.record:q} {params.strict} > {log:q}"

rule paper:
    input:
        tex=local(paper_source(STUDY)),
        references=local("paper/refs.bib"),
        generated=[rules.tables.output, rules.claims.output, rules.speed_table.output, rules.faults.output],
        figures=expand(f"{PRE}figures/{{name}}.pdf", name=FIGURE),
        code=module("typeset"),
    output:
        pdf=ensure(f"{PRE}paper/paper.pdf", non_empty=True),
    log: f"{PRE}logs/paper.log"
    shell:
        "python -m latents.report.typeset --tex {input.tex:q} --references {input.references:q}"
        " --out {output.pdf:q} > {log:q}"

include: "rules/paper.smk"  # its provenance, and its sources in one archive
