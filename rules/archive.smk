# Archived runs: what an interrupted study had finished (`make archive`) is copied from archive/.

import re
from functools import cache

from latents.report.archive import (
    CLASSIFIER, LIGHT, LIGHT_TSNE, WEIGHTS, YARDSTICKS,
    classifiers, described, embedded, finished, measured, started_from,
)

ARCHIVE = Path(f"archive/{STUDY.study}")
TAKEN = ARCHIVE.is_dir() and not CONFIG.startswith("reference/")  # `make verify` takes nothing


def trained_here(run):
    return Path(f"{STUDY.checkpoints}/{run}.safetensors").exists()


@cache
def archived_weights(run):
    """The weights of an archived run, if they were archived with it."""
    path = ARCHIVE / WEIGHTS.format(run)
    return path if described(ARCHIVE, run, path) else None


def weights_of(run):
    """A run's weights; in archive/ where it is taken from there."""
    if run in (*ARCHIVED, *ARCHIVED_CLASSIFIERS) and (path := archived_weights(run)):
        return source(path)
    return f"{STUDY.checkpoints}/{run}.safetensors"


DONE = finished(settled_study(), ARCHIVE) if TAKEN else []
STARTS = started_from(STUDY, DONE)  # not taken without their weights
ARCHIVED = [run for run in DONE if not trained_here(run) and (run not in STARTS or archived_weights(run))]
ARCHIVED_CLASSIFIERS = [
    run
    for run in (classifiers(settled_study(), ARCHIVE, ARCHIVE / "weights") if TAKEN else [])
    if not trained_here(run)
]
# of the data sets whose reference classifier was not trained here
OTHERS = {run.dataset for run in ARCHIVED_CLASSIFIERS}
ARCHIVED_YARDSTICKS = OTHERS.intersection(measured(settled_study(), ARCHIVE)) if OTHERS else []


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
