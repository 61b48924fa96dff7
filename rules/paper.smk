# Beside the paper: the whole hashes behind it, and its sources in one archive (`make arxiv`).

rule provenance:
    input:
        tables=[f"{R}/runs.csv", f"{R}/summary.csv"],
        records=expand(f"{R}/records/{{run}}.json", run=RUNS),
        yardsticks=expand(f"{R}/yardsticks/{{dataset}}.json", dataset=STUDY.datasets),
        paper=f"{PRE}paper/paper.pdf",
        build=source(*BUILD),
    output:
        record=f"{PRE}paper/provenance.json",
    params:
        config=settings, results=results,
    log: f"{PRE}logs/provenance.log"
    shell:
        "python -m latents.report.provenance --config {params.config:q} --results {params.results:q}"
        " --paper {input.paper:q} --out {output.record:q} > {log:q}"

# It compiles in the folder in which the paper was compiled, and so after it.
rule arxiv:
    input:
        tex=rules.paper.input.tex,
        references=rules.paper.input.references,
        paper=f"{PRE}paper/paper.pdf",
        code=module("arxiv", "typeset"),
    output:
        archive=f"{PRE}paper/arxiv.tar.gz",
    log: f"{PRE}logs/arxiv.log"
    shell:
        "python -m latents.report.arxiv --tex {input.tex:q} --references {input.references:q}"
        " --out {output.archive:q} > {log:q}"
