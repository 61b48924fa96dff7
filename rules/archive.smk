# Archived runs: what an interrupted study had finished (`make archive`) is copied from archive/.

from latents.report.archive import CLASSIFIER, LIGHT, LIGHT_TSNE, YARDSTICKS

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
    priority: 100
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
