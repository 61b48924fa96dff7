# What the paper reports of a machine and of the workflow, not of a study: the committed benchmark and fault
# trials (`make bench` and `make fault-trials` make others).

rule speed_table:
    input:
        bench=local("reference/bench.json"),
        code=module("speed", "tex", "style", "read"),
    output:
        macros=f"{PRE}paper/generated/macros_speed.tex",
        table=f"{PRE}paper/generated/table_speed.tex",
    params:
        out=lambda wildcards, output: Path(output.macros).parent,
    log: f"{PRE}logs/speed_table.log"
    shell:
        "python -m latents.report.speed --bench {input.bench:q} --out {params.out:q} > {log:q}"

rule faults:
    input:
        trials=local("reference/fault_trials.json"),
        code=module("faults", "tex", "read"),
    output:
        macros=f"{PRE}paper/generated/macros_faults.tex",
    log: f"{PRE}logs/faults.log"
    shell:
        "python -m latents.report.faults --trials {input.trials:q} --out {output.macros:q} > {log:q}"
