# Verification: the numbers of this study beside the committed ones (`make verify`), or those of one run
# (`make verify-quick`).

PUBLISHED = [
    path
    for pattern in ("records/**/*.json", "curves/**/*.csv", "pictures/**/*.npz", "yardsticks/*.json",
                    "summary.csv")
    for path in Path("reference").glob(pattern)
]

rule verify:
    input:
        tables=[f"{OUT}/runs.csv", f"{OUT}/summary.csv"],
        records=expand(f"{OUT}/records/{{run}}.json", run=RUNS),
        beside=expand([f"{OUT}/curves/{{run}}.csv", f"{OUT}/pictures/{{run}}.npz"], run=RUNS),
        yardsticks=expand(f"{OUT}/yardsticks/{{dataset}}.json", dataset=STUDY.datasets),
        published=source("reference/runs.csv", *PUBLISHED),
        code=module("verify", "verify_numbers", "verify_report", "bootstrap", "summarize", "tex", "read"),
    output:
        found=f"{OUT}/verify.json",
        report=f"{OUT}/verify.md",
    params:
        config=settings,
        results=lambda wildcards, input: within(input[0], OUT),
        run="",
    log: f"{PRE}logs/verify.log"
    shell:
        "python -m latents.report.verify --config {params.config:q} --results {params.results:q}"
        " --reference reference --out {output.found:q} --report {output.report:q} {params.run} > {log:q}"

use rule verify as verify_run with:
    input:
        record=f"{OUT}/records/{RUN}.json",
        beside=[f"{OUT}/curves/{RUN}.csv", f"{OUT}/pictures/{RUN}.npz"],
        published=rules.verify.input.published,
        code=rules.verify.input.code,
    output:
        found=f"{OUT}/verify/{RUN}.json",
        report=f"{OUT}/verify/{RUN}.md",
    params:
        config=settings,
        results=lambda wildcards, input: within(input[0], OUT),
        run=f"--run {RUN}",
    log: f"{PRE}logs/verify/{RUN}.log"
