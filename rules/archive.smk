# Archived runs: what an interrupted study had finished (`make archive`) is copied from archive/.

import re

from latents.report.archive import LIGHT, LIGHT_TSNE, embedded, finished

ARCHIVE = f"archive/{STUDY.study}"
# those of this study whose weights are not here; `make verify` takes none
ARCHIVED = [
    run
    for run in ([] if CONFIG.startswith("reference/") else finished(settled_study(), Path(ARCHIVE)))
    if not Path(f"{STUDY.checkpoints}/{run}.safetensors").exists()
]

ruleorder: archived > train
ruleorder: archived > evaluate
ruleorder: archived_tsne > tsne

rule archived:
    input:
        source(*(f"{ARCHIVE}/{name.format('{archived}')}" for name in LIGHT)),
    output:
        [f"{OUT}/{name.format('{archived}')}" for name in LIGHT],
    wildcard_constraints:
        archived="|".join(re.escape(str(run)) for run in ARCHIVED) or "none",
    log: f"{PRE}logs/archived/{{archived}}.log"
    shell:
        'from=({input:q}); to=({output:q}); '
        'for i in "${{!from[@]}}"; do cp "${{from[i]}}" "${{to[i]}}"; done &> {log:q}'

use rule archived as archived_tsne with:
    input:
        source(*(f"{ARCHIVE}/{name.format('{archived}')}" for name in LIGHT_TSNE)),
    output:
        [f"{OUT}/{name.format('{archived}')}" for name in LIGHT_TSNE],
    wildcard_constraints:
        archived="|".join(re.escape(place) for place in embedded(STUDY, ARCHIVED)) or "none",
    log: f"{PRE}logs/archived_tsne/{{archived}}.log"
