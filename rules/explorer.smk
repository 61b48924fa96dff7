# The explorer (`make explorer`): a page on which a reader moves through the codes, as static files.

import json

PAGE = f"{PRE}explorer"
EACH = f"{{dataset}}/{{method}}"
RUNTIME = "ort-wasm-simd-threaded.wasm"
SCRIPTS = sorted(path for kind in ("js", "css", "html") for path in Path("web").glob(f"*.{kind}"))

rule export:
    input:
        machine=MACHINE,
        manifest=f"{OUT}/data/{{dataset}}.json",
        weights=first_weights,
        codes=lambda w: f"{OUT}/codes/{w.dataset}/{w.method}/{FIRST[w.dataset]}.npz",
        record=lambda w: f"{OUT}/records/{w.dataset}/{w.method}/{FIRST[w.dataset]}.json",
        code=source("src/latents/export.py"),
    output:
        [f"{PAGE}/{EACH}/{name}.onnx" for name in ("encoder", "decoder", "probe")],
        card=f"{PAGE}/{EACH}/card.json",
    params:
        config=settings, machine=machine_option,
        out=lambda wildcards, output: Path(output.card).parent,
    log: f"{PRE}logs/export/{EACH}.log"
    threads: STUDY.threads
    resources: gpu=GPU, mem_mb=2500
    shell:
        "python -m latents.export --config {params.config:q} {params.machine} --weights {input.weights:q}"
        " --codes {input.codes:q} --record {input.record:q} --bits 8 --out {params.out:q} > {log:q}"

# It shows test images, which nothing is chosen by here.
rule explorer_data:
    input:
        manifest=f"{OUT}/data/{{dataset}}.json",
        networks=[
            f"{PAGE}/{{dataset}}/{method}/{name}"
            for method in STUDY.methods
            for name in ("card.json", "encoder.onnx", "decoder.onnx", "probe.onnx")
        ],
        measured=lambda w: [
            f"{OUT}/{kind}/{w.dataset}/{method}/{FIRST[w.dataset]}.{ending}"
            for method in STUDY.methods
            for kind, ending in (("codes", "npz"), ("records", "json"))
        ],
        tsne=[f"{OUT}/tsne/{{dataset}}/{one}.{kind}" for one in STUDY.methods for kind in ("csv", "json")],
        code=LOOKS + source("src/latents/explorer.py") + module("style", "summarize", "read", "tex"),
    output:
        [f"{PAGE}/{{dataset}}/{method}/{name}" for method in STUDY.methods for name in ("codes", "axes")],
        images=f"{PAGE}/{{dataset}}/images.webp",
        facts=f"{PAGE}/{{dataset}}/dataset.json",
    params:
        config=settings, note=lambda wildcards: STUDY.note,
        results=lambda wildcards, input: within(input.tsne[0], OUT),
        out=lambda wildcards, output: Path(output.facts).parent,
    log: f"{PRE}logs/explorer/{{dataset}}.log"
    shell:
        "python -m latents.explorer --config {params.config:q} --dataset {wildcards.dataset}"
        " --results {params.results:q} --out {params.out:q} > {log:q}"

# `make explorer` has installed what package-lock.json names: esbuild, and onnxruntime with its WebAssembly.
rule page:
    input:
        source(*SCRIPTS, "web/package-lock.json"),
    output:
        f"{PAGE}/{RUNTIME}", f"{PAGE}/index.html", f"{PAGE}/main.css",
        script=f"{PAGE}/main.js",
    params:
        datasets=json.dumps([*STUDY.datasets]),
        out=lambda wildcards, output: Path(output.script).parent,
    log: f"{PRE}logs/page.log"
    shell:
        "(web/node_modules/.bin/esbuild web/main.js --bundle --minify --format=esm --target=es2022"
        " --define:DATASETS={params.datasets:q} --outfile={output.script:q} &&"
        f" cp web/index.html web/main.css web/node_modules/onnxruntime-web/dist/{RUNTIME}"
        " {params.out:q}) &> {log:q}"

rule explorer:
    input:
        rules.page.output,
        expand(f"{PAGE}/{{dataset}}/dataset.json", dataset=STUDY.datasets),
