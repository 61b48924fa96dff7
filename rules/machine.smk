# What the study and the paper take from a machine.

# With `precision: auto`: what this machine trains faster in. The study keeps to that choice.

rule machine:
    output:
        f"{OUT}/machine.json",
    params:
        config=settings,
        # functions of the input, so that neither an archive nor other --cores are a reason to choose again
        begun=lambda wildcards, input: f"--begun {BEGUN}" if BEGUN.exists() else "",
        at_once=lambda wildcards, input: jobs_at_once(
            workflow.resource_settings.cores or 1, STUDY.threads
        ) if workflow.local_exec else 1,
    log: f"{PRE}logs/machine.log"
    threads: max(STUDY.threads, workflow.resource_settings.cores or 1)  # nothing runs beside it
    resources: gpu=GPU
    shell:
        "python -m latents.machine --config {params.config:q} {params.begun} --at-once {params.at_once}"
        " --out {output:q} > {log:q}"

# What the paper reports of a machine and of the workflow, not of a study: the committed benchmark and fault
# trials (`make bench` and `make fault-trials` make others).

rule speed_table:
    input:
        bench=benchmark_records,
        code=LOOKS + module("speed", "tex", "style", "read"),
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
