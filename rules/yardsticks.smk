# Yardsticks of each data set: what median images, mean colours and probes on raw pixels achieve.

rule yardsticks:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
    output:
        record=f"{OUT}/yardsticks/{{dataset}}.json",
        timing=f"{OUT}/timing/{{dataset}}/yardsticks.json",
    params:
        config=settings,
        digest=lambda w: digest(STUDY.yardsticks(w.dataset)),
    log: f"{PRE}logs/yardsticks/{{dataset}}.log"
    threads: STUDY.threads
    priority: 99  # with the first seeds
    resources: gpu=GPU, mem_mb=6500
    shell:
        "python -m latents.yardsticks --final --config {params.config:q} --dataset {wildcards.dataset}"
        " --out {output.record:q} --timing {output.timing:q} > {log:q}"
