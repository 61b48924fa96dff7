# Snakemake's report (`make report`): the figures, from rule figure; here each table of the paper as a page,
# all numbers as CSV, and the paper.

rule table_page:
    input:
        table=f"{PRE}paper/generated/table_{{table}}.tex",
        code=module("page", "read"),
    output:
        page=report(
            f"{PRE}paper/generated/table_{{table}}.html",
            category="Tables",
            subcategory="Of the paper",
            labels={"table": "{table}"},
            caption="caption.rst",
        ),
    params:
        caption=lambda wildcards, input: CAPTIONS[wildcards.table],
    log: f"{PRE}logs/table_page/{{table}}.log"
    shell:
        "python -m latents.report.page --table {input.table:q} --out {output.page:q} > {log:q}"

# What the report shows; made by `make report` alone.
rule report_contents:
    input:
        rules.all.input,
        report(f"{PRE}paper/paper.pdf", category="Paper", labels={"paper": "paper.pdf"}),
        expand(f"{PRE}paper/generated/table_{{table}}.html", table=CAPTIONS),
        [
            report(f"{R}/{name}", category="Tables", subcategory="All numbers", labels={"table": name})
            for name in ("summary.csv", "runs.csv")
        ],
