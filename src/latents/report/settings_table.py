"""The paper's tables of methods and of their settings, and how a setting is written in words."""

from typing import Any

import msgspec

from latents.methods import METHODS
from latents.report import style
from latents.report.tex import SMALL, escape
from latents.settings import CODE_SIZE
from latents.study import REFERENCE_CLASSIFIER, Study

LEFT_OUT = (
    ("jitter-probability", 1),
    ("code-size", CODE_SIZE),
    ("labels", 1),
    ("linear-rate", 1),
)  # of every method, but in a sweep
NAMES = {"augmentation": "augm.\\", "early": "early views"}
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW", "muon": "Muon"}
SWEEPS = {"trade": "", "finetuned": "fine-tuned "}  # whose variants are listed -> what precedes their names

Settings = dict[str, Any]


def plain(value: Any) -> str:
    """A setting as a reader writes it: ranges with a dash, numbers without trailing zeros."""
    if isinstance(value, list | tuple):
        return "--".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def described(settings: Settings, above: Settings, *, off: bool = False) -> str:
    """Settings in words: what is on stands alone, a group may be `as above`; what is off stands if `off`."""
    words = []
    for key, value in settings.items():
        name = NAMES.get(key, key.replace("-", " "))
        if isinstance(value, dict) and value == above.get(key):
            words.append(f"{name} as above")
        elif isinstance(value, dict):
            words.append(f"{name} ({described(value, {}) or 'none'})")
        elif value not in (0, None) and (key, value) not in LEFT_OUT:  # False counts as 0
            words.append(name if value is True else f"{name} {plain(value)}")
        elif off and value in (0, None):
            words.append(f"no {name}")
    return ", ".join(words)


def line(title: str, settings: Settings, above: Settings, *, off: bool = False) -> str:
    """One line: the optimiser's settings each in a column, the others in words; a seed is no setting."""
    one = settings["optimisation"]
    optimiser = OPTIMIZERS[one["optimizer"]]
    numbers = [one["epochs"], one["batch-size"], optimiser, one["learning-rate"], one["weight-decay"]]
    others = {key: value for key, value in settings.items() if key not in ("optimisation", "seed")}
    groups_first = sorted(others.items(), key=lambda setting: not isinstance(setting[1], dict))
    words = described(dict(groups_first) | {"warmup": one["warmup"]}, above, off=off)
    return " & ".join([escape(title), *map(plain, numbers), words]) + r" \\"


def dataset_lines(study: Study, dataset: str) -> list[str]:
    """A line for each trained method, below it those of its variants; then the reference classifier."""
    lines = [
        r"\midrule",
        rf"\multicolumn{{7}}{{@{{}}l}}{{\textit{{{style.dataset_name(study, dataset)}}}}} \\",
    ]
    above: Settings = {}
    for method in (*study.trained_methods, REFERENCE_CLASSIFIER):
        settings = msgspec.to_builtins(study.settings(dataset, method))
        title = "Ref. classifier" if method == REFERENCE_CLASSIFIER else style.name(method)
        lines.append(line(title, settings, above))
        sweeps = study.dataset(dataset).sweeps.get(method, {})
        for sweep, words in SWEEPS.items():
            for name in sweeps[sweep].variants if sweep in sweeps else ():
                variant = msgspec.to_builtins(study.settings(dataset, f"{method}.{sweep}.{name}"))
                changed = {
                    key: value
                    for key, value in variant.items()
                    if key == "optimisation" or value != settings.get(key)
                }
                lines.append(line(f"-- {words}{name.replace('pct', ' %')}", changed, {}, off=True))
        above = settings
    return lines


def settings_table(study: Study) -> str:
    """The settings of every data set, then those of the decoder on frozen codes."""
    head = r" & epochs & batch & optim. & rate & decay & other settings \\"
    columns = r"@{}lrrlrr>{\raggedright\arraybackslash}p{3.15in}@{}"
    lines = [rf"{SMALL}\begin{{tabular}}{{{columns}}}", r"\toprule", head]
    for dataset in study.datasets:
        lines += dataset_lines(study, dataset)
    decoder = line("Decoder", msgspec.to_builtins(study.decoder), {})
    return "\n".join([*lines, r"\midrule", decoder, r"\bottomrule", r"\end{tabular}}", ""])


def methods_table(study: Study) -> str:
    """For each method: its experiment, what makes the code, and whether labels do."""
    columns = r"@{}ll>{\raggedright\arraybackslash}p{3.2in}l@{}"
    lines = [rf"{SMALL}\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [r"method & experiment & what makes the code & labels \\", r"\midrule"]
    for method in study.methods:
        about = METHODS[method].about
        experiment, _, what = about.rpartition(": ")
        labels = "yes" if METHODS[method].sees_labels else "no"
        lines.append(" & ".join(map(escape, (style.name(method), experiment, what, labels))) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", ""])
