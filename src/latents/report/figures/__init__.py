"""Every figure's script, in the order of the gallery, and what it reads below results/ or reference/."""

from collections.abc import Iterable

INPUTS = {  # a test holds this against the Snakefile
    "accuracy": ["summary.csv"],
    "few_labels": ["summary.csv"],
    "reconstruction_error": ["summary.csv"],
    "separability": ["summary.csv"],
    "similarity": ["similarity/*.csv"],
    "sweeps": ["summary.csv"],
    "speed": ["bench.json"],
    "reconstructions": ["pictures/{dataset}/*/seed*.npz"],
    "tsne": ["tsne/{dataset}/*.csv", "tsne/{dataset}/*.json"],
    "interpolations": ["pictures/{dataset}/*/seed*.npz"],
    "curves": ["curves/{dataset}/*/seed*.csv"],
}
PER_DATASET = ("reconstructions", "tsne", "interpolations", "curves")


def targets(datasets: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    """(figure's name, its script, its inputs) of every figure of these data sets."""
    return [
        (f"{script}_{dataset}" if dataset else script, script, [pattern.format(dataset=dataset) for pattern in inputs])
        for script, inputs in INPUTS.items()
        for dataset in (datasets if script in PER_DATASET else ("",))
    ]
