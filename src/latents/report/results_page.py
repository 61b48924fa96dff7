"""What docs/results.md and the README show of the committed run: results, time, speed and methods, as
Markdown."""

import textwrap
from pathlib import Path
from typing import TypedDict

from tabulate import tabulate

from latents import record
from latents.bench import settings
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import PROBES, metric
from latents.report import schedule, speed, summarize
from latents.report.facts import joined, precisions, processors, seconds
from latents.report.read import benchmarks, read_record
from latents.report.summarize import Estimate, Estimates
from latents.report.tex import half_width, rounded
from latents.study import Study

NODES = 16  # of the table of nodes, at most
STAGES = ("data", "forward", "backward", "optimizer")  # of a training step
WIDTH = 110  # characters of a line of text
NUMBERS = {  # of the benchmark, as printed
    "contrastive_over_ordinary": "`contrastive`, times the ordinary loop",
    "guided_over_ordinary": "`guided`, times the ordinary loop",
    "autoencoder_over_ordinary": "the slower autoencoder, times the ordinary loop",
    "conv_peak_share": "`guided`, share of the fastest convolution",
    "bound_share": "least share of the bound for a whole step",
    "augment_share": "share of views in a step of `contrastive`",
    "figure_seconds": "seconds to draw a figure",
    "noop_seconds": "seconds to find a study finished",
    "overhead_share": "share of the study's time outside its own work",
    "peak_gib": "most memory of a job, GiB",
    "seconds_to_8866": "seconds of `guided` to 88.66 %",
}
SHORT = ("accuracy_best", "mae_frozen")  # metrics of the README's table


def fill(text: str) -> str:
    """A paragraph in lines of the usual length."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def table(heads: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return tabulate(lines, heads, tablefmt="github", disable_numparse=True)


def named(method: str) -> str:
    """A method as it is written in configurations, and whether it sees labels."""
    return f"`{method}`" + (" (labels)" if METHODS[method].sees_labels else "")


def shown(estimate: Estimate | None, name: str) -> str:
    """Mean and half the interval's width, rounded; nothing where the method has no such number."""
    if estimate is None:
        return ""
    mean = rounded(name, estimate.mean)
    return mean if estimate.high is None else f"{mean} ± {half_width(estimate, metric(name).decimals)}"


def head(name: str) -> str:
    """A metric as the head of a column, with its unit where it has one of its own."""
    probe = PROBES.get(name.removeprefix("accuracy_"))
    label, unit = metric(name).label, {"percent": "%", "dB": "dB"}.get(metric(name).unit)
    return (probe.short if probe else label) + (f" ({unit})" if unit else "")


def dataset_part(study: Study, dataset: str, summary: Estimates) -> str:
    """All probes and errors of one data set."""
    metrics = [f"accuracy_{probe}" for probe in summarize.probes_in(summary)]
    metrics += ["mae", "mae_frozen", "psnr"]
    lines = [
        [named(method), *(shown(summary.get((dataset, method, name, "test")), name) for name in metrics)]
        for method in study.methods
    ]
    n = len(study.dataset(dataset).seeds)
    seeds = "one seed, so no interval"
    if n > 1:
        seeds = f"means over {n} seeds, ± half the 95 % interval (Student's t), rounded up"
    words = f"Test images; accuracy in percent, MAE on pixels in [0, 1]; {seeds}."
    heads = ["method", *map(head, metrics)]
    return "\n\n".join([f"## {DATASETS[dataset].label}", fill(words), table(heads, lines)])


def time_part(study: Study, reference: Path) -> str:
    """How long the run took, where, and how long it would take on several such machines."""
    made = list(summarize.records(study, reference))
    times = [spent for jobs in seconds(study, reference).values() for spent in jobs]
    device, threads = (joined(one[key] for one in made) for key in ("device", "threads"))
    took = (
        f"Training and measuring took {sum(times) / 3600:.1f} hours, summed over {len(times)} jobs; the "
        f"longest took {max(times) / 60:.0f} minutes. Device {device}, threads of a job: {threads}, "
        f"{precisions(study, made)}; {processors(study, made)}."
    )
    several = (
        f"On several such machines (`make plan CONFIG=reference/study.yaml NODES={NODES}`): training, "
        "measuring and t-SNE, one job at a time on each, then figures and paper, without waiting in a queue."
    )
    nodes = schedule.on_nodes(study, reference, schedule.recorded(study, reference), NODES)
    return "\n\n".join(["## Time", fill(took), fill(several), "\n".join(["```", *nodes, "```"])])


def speed_part(reference: Path) -> str:
    """The benchmark: its numbers with a column a kind of processor, then the loops on each kind."""
    benches = [speed.read(path) for path in benchmarks(reference)]
    targets = settings.read(str(record.ROOT / "config/bench.yaml")).targets
    heads = ["", "aim", *map(speed.machine, benches)]
    lines = [
        [NUMBERS[name], str(target), *(significant(one.get(name)) for one in benches)]
        for name, target in targets.items()
    ]
    forecasts = ["time forecast for a short study, of that taken (%)", ""]
    lines.append([*forecasts, *map(forecast_share, benches)])
    return "\n\n".join(["## Speed", table(heads, lines), *map(loops_part, benches)])


def significant(value: float | None) -> str:
    """A number with three digits, never with an exponent; a dash where a benchmark lacks or missed it."""
    return "–" if value is None else f"{float(f'{value:.3g}'):g}"


def forecast_share(bench: speed.Bench) -> str:
    """The time forecast for the short study of a benchmark, in percent of the time that it took."""
    short = bench.get("short")
    return "–" if short is None else f"{100 * short['forecast'] / short['taken']:.0f}"


def loops_part(bench: speed.Bench) -> str:
    """The training loop of each method beside the ordinary one, on one machine."""
    found = speed.facts(bench)
    made = (
        f"`make bench`, {found['threads']} threads, source `{found['source-hash']}`: medians of "
        f"{found['rounds']} rounds, both loops in turn; ratios are those within a round; bound: share of a "
        "step at the machine's limits."
    )
    heads = [
        "",
        "method",
        "images/s, ordinary loop",
        "images/s, ours",
        "ratio, both in float32",
        "ratio",
        "bound (%)",
        "range of the ratio",
    ]
    lines = [
        [DATASETS[dataset].label, f"`{method}`", *cells.values()]
        for (dataset, method), cells in speed.speeds(bench).items()
    ]
    sprint = (
        f"`guided` reaches {found['sprint-accuracy']} % {found['sprint-split']} accuracy "
        f"({found['sprint-epochs']} epochs, mean of {found['sprint-seeds']} seeds) on CIFAR-10 in "
        f"{found['sprint-seconds']} s, the whole command timed."
    )
    return "\n\n".join([f"### {speed.machine(bench)}", fill(made), table(heads, lines), fill(sprint)])


class Kind(TypedDict):
    """What is read of one kind of training on a GPU."""

    images_per_second: float
    flops_per_second: float
    parts: dict[str, float]  # seconds of a step


class Gpu(TypedDict):
    """What is read of the record of latents.bench.gpu."""

    device: str
    precision: str
    peaks: TypedDict("Peaks", {"convolutions": dict[str, float]})
    speed: dict[str, dict[str, Kind]]  # study -> run -> its speed
    guided: TypedDict("Trained", {"seconds": dict[str, float], "val": dict[str, float]})


def gpu_part(path: Path) -> str:
    """What the check of a GPU found: the parts of each kind of step of the study, and a whole training."""
    found = read_record(path, Gpu)
    fastest = max(found["peaks"]["convolutions"].values())
    heads = ["training", "images/s", *(f"{name}, ms" for name in STAGES), "without a graph, ms", "share (%)"]
    lines = []
    for run, one in found["speed"]["study"].items():
        parts = {name: 1000 * spent for name, spent in one["parts"].items()}
        share = 100 * one["flops_per_second"] / fastest
        launched = sum(parts.values())
        cells = [f"{one['images_per_second']:.0f}", *(f"{parts[name]:.2f}" for name in STAGES)]
        lines.append([f"`{run.rpartition('/')[0]}`", *cells, f"{launched:.1f}", f"{share:.0f}"])
    made = (
        f"`make gpu-check` on {found['device']}, {found['precision']}: the parts of a training step of the "
        "study, captured as one CUDA graph; the same step, each of its operations launched by Python; the "
        f"share of the fastest convolution there ({fastest / 1e12:.0f} TFLOP/s) that the step reaches."
    )
    whole = (
        f"`guided` on CIFAR-10 trains in {found['guided']['seconds']['training']:.1f} s there and reaches "
        f"{found['guided']['val']['accuracy_head']:.1f} % on val (one seed)."
    )
    return "\n\n".join(["## On a GPU", fill(made), table(heads, lines), fill(whole)])


def results_page(study: Study, reference: Path) -> str:
    """docs/results.md."""
    summary = summarize.read_summary(reference / "summary.csv")
    opening = (
        "Written by `make reference` from the run in `reference/`; do not edit. `reference/summary.csv` has "
        "the mean and interval of every metric (a variant of a sweep is `<method>.<sweep>.<variant>`), "
        "`reference/runs.csv` every number of every run."
    )
    tables = [dataset_part(study, dataset, summary) for dataset in study.datasets]
    speeds = speed_part(reference)  # checks the benchmark, which the time on several nodes is computed with
    gpus = [gpu_part(path) for path in sorted((reference / "bench").glob("nvidia-*.json"))]
    parts = ["# Results", fill(opening), *tables, time_part(study, reference), speeds, *gpus]
    return "\n\n".join(parts) + "\n"


def readme_results(study: Study, reference: Path) -> str:
    """The README's table: what can be read and reconstructed from each code; and how long the run took."""
    summary = summarize.read_summary(reference / "summary.csv")
    made = list(summarize.records(study, reference))
    datasets = list(study.datasets)[::-1]  # the harder one first
    columns = [(dataset, name) for dataset in datasets for name in SHORT]
    heads = ["method", *(f"{DATASETS[dataset].label} {head(name)}" for dataset, name in columns)]
    lines = [
        [named(method), *(shown(summary.get((d, method, name, "test")), name) for d, name in columns)]
        for method in study.methods
    ]
    spent = sum(sum(jobs) for jobs in seconds(study, reference).values())
    took = (
        f"Training and measuring took {spent / 3600:.1f} hours, summed over jobs, "
        f"in {precisions(study, made)}, on {processors(study, made)}."
    )
    return f"{table(heads, lines)}\n\n{fill(took)}"


def readme_methods(study: Study) -> str:
    """The README's list of methods."""
    return table(
        ["method", "what makes the code"],
        [[named(method), METHODS[method].about] for method in study.methods],
    )
