# Archived runs: what an interrupted study had finished (`make archive`) is copied from archive/.

import re

from latents.report.archive import (
    CLASSIFIER, LIGHT, LIGHT_TSNE, WEIGHTS, YARDSTICKS, classifiers, embedded, finished, measured
)

ARCHIVE = f"archive/{STUDY.study}"
TAKEN = Path(ARCHIVE).is_dir() and not CONFIG.startswith("reference/")  # `make verify` takes nothing
# those whose weights are not here, and so were not trained here; an evaluation reads a classifier's in archive/
ARCHIVED, ARCHIVED_CLASSIFIERS = (
    [run for run in runs if not Path(f"{STUDY.checkpoints}/{run}.safetensors").exists()]
    for runs in (
        finished(settled_study(), Path(ARCHIVE)) if TAKEN else [],
        classifiers(settled_study(), Path(ARCHIVE), Path(ARCHIVE) / "weights") if TAKEN else [],
    )
)
# of the data sets whose reference classifier was not trained here
OTHERS = {run.dataset for run in ARCHIVED_CLASSIFIERS}
ARCHIVED_YARDSTICKS = OTHERS.intersection(measured(settled_study(), Path(ARCHIVE))) if OTHERS else []


def classifier_weights(wildcards):
    """The weights of the reference classifier that measures a data set."""
    run = STUDY.reference_classifiers()[wildcards.dataset]
    if run in ARCHIVED_CLASSIFIERS:
        return source(f"{ARCHIVE}/{WEIGHTS.format(run)}")
    return f"{STUDY.checkpoints}/{run}.safetensors"


def any_of(names):
    """A pattern of these names; one that is no name where there are none."""
    return "|".join(sorted(re.escape(str(name)) for name in names)) or "none"


ruleorder: archived > train
ruleorder: archived > evaluate
ruleorder: archived_tsne > tsne
ruleorder: archived_classifier > train
ruleorder: archived_yardsticks > yardsticks

rule archived:
    input:
        source(*(f"{ARCHIVE}/{name.format('{archived}')}" for name in LIGHT)),
    output:
        [f"{OUT}/{name.format('{archived}')}" for name in LIGHT],
    wildcard_constraints:
        archived=any_of(ARCHIVED),
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
        archived=any_of(embedded(STUDY, ARCHIVED)),
    log: f"{PRE}logs/archived_tsne/{{archived}}.log"

use rule archived as archived_classifier with:
    input:
        source(*(f"{ARCHIVE}/{name.format('{archived}')}" for name in CLASSIFIER)),
    output:
        [f"{OUT}/{name.format('{archived}')}" for name in CLASSIFIER],
    wildcard_constraints:
        archived=any_of(ARCHIVED_CLASSIFIERS),
    log: f"{PRE}logs/archived_classifier/{{archived}}.log"

use rule archived as archived_yardsticks with:
    input:
        source(*(f"{ARCHIVE}/{name.format('{archived}')}" for name in YARDSTICKS)),
    output:
        [f"{OUT}/{name.format('{archived}')}" for name in YARDSTICKS],
    wildcard_constraints:
        archived=any_of(ARCHIVED_YARDSTICKS),
    log: f"{PRE}logs/archived_yardsticks/{{archived}}.log"
