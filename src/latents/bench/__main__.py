"""The benchmark: our loop beside the ordinary one, the parts of a step, the workflow, growth, and a sprint.

    python -m latents.bench --config config/study.yaml --bench config/bench.yaml --reference reference \
        --final --out results/bench/cpu.json

measures everything in one run and writes one record. Until it is complete, the parts measured so far are in
cpu.unfinished beside it. Speeds, steps and commands are measured in turn, round by round, and every
round is recorded; growth is one run for each size. With --final the sprint's accuracy is measured on test,
once for each seed, after the last training; otherwise on val. For Linux and a CPU. Takes about an hour on
two cores that do nothing else.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from tabulate import tabulate

from latents import cli, config, record
from latents.bench import settings, workflow
from latents.bench.compare import peak, say, summary, throughput
from latents.bench.configurations import configurations
from latents.bench.growth import growth
from latents.bench.settings import Bench
from latents.bench.short import forecast_error
from latents.bench.sprint import sprint
from latents.cli import Problem
from latents.report.targets import Target
from latents.study import Study


class Unfinished:
    """The record so far, written to a file after every part."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Raises Problem when the file cannot be written."""
        self.path, self.found = path, header
        record.write_json(path, header)

    def add(self, part: str, value: Any) -> None:
        self.found[part] = value
        record.write_json(self.path, self.found)


def header(bench: Bench, study: Study) -> dict[str, Any]:
    """What the record begins with: settings, source and machine."""
    return {
        "format": record.FORMAT,
        "bench": msgspec.to_builtins(bench),
        "threads": study.threads,
        "precision": study.precision,
        "source_sha256": record.source_sha256(),
        "bench_sha256": record.tree_sha256([*Path(__file__).parent.glob("*.py")]),
    } | record.environment()


def numbers(found: dict[str, Any], bench: Bench, reference: Path) -> dict[str, Any]:
    """The numbers of settings.NUMBERS; `found` has all parts of the record."""
    lines = [line for line in found["throughput"] if line["dataset"] == "cifar10"]
    over = {line["method"]: line["over_ordinary"]["ours"] for line in lines}
    methods, commands = found["peak"]["methods"], found["workflow"]
    reached = found["sprint"]["accuracy"] >= bench.sprint.accuracy
    return {
        "contrastive_over_ordinary": over["contrastive"],
        "guided_over_ordinary": over["guided"],
        "autoencoder_over_ordinary": min(over["autoencoder"], over["autoencoder-plus"]),
        "conv_peak_share": methods["guided"]["conv_peak_share"],
        "bound_share": min(one["bound_share"] for one in methods.values()),
        "augment_share": methods["contrastive"]["shares"]["data"],
        "figure_seconds": commands["figure"]["median"],
        "noop_seconds": commands["noop"]["median"],
        "overhead_share": workflow.overhead_share(found["overhead"]),
        "peak_gib": workflow.peak_gib(reference),
        "seconds_to_8866": found["sprint"]["seconds"] if reached else None,
    }


def report(found: dict[str, Any], targets: dict[str, Target]) -> str:
    """The numbers beside their targets, as a table for the terminal."""
    lines = []
    for name, target in targets.items():
        value = found[name]
        printed = "not reached" if value is None else f"{value:.3g}"
        lines.append((name, printed, target, "holds" if target.holds(value) else "FALLS SHORT"))
    return tabulate(lines, tablefmt="plain", disable_numparse=True)


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "bench", paths=("reference", "out"))
    parser.add_argument("--final", action="store_true", help="read the test split at the sprint's end")
    parser.add_argument("--machine", type=Path, help="the file of latents.machine; for precision: auto")
    options = parser.parse_args()
    bench, reference, out = settings.read(options.bench), options.reference.resolve(), options.out
    if not reference.is_dir():
        raise Problem(
            f"{options.reference}: no such folder; give the results of a finished study, like reference"
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = configurations(options.bench, bench, options.config, options.machine, folder)
        study = config.read(paths["changes"])
        unfinished = Unfinished(out.with_suffix(".unfinished"), header(bench, study))
        commands = {
            name: summary(rounds) for name, rounds in workflow.measure(bench.rounds, reference).items()
        }
        unfinished.add("workflow", commands)
        medians = {name: one["median"] for name, one in commands.items()}
        say(", ".join(f"{name} {seconds:.1f} s" for name, seconds in medians.items()))
        unfinished.add("overhead", workflow.overhead(reference, medians))
        unfinished.add("throughput", throughput(bench, paths, list(study.datasets)))
        unfinished.add("peak", peak(bench, paths["changes"]))
        unfinished.add("growth", growth(bench, paths, folder))
        unfinished.add("sprint", sprint(bench, paths["sprint"], folder, final=options.final))
        whole = msgspec.to_builtins(config.read(options.config)) | {"device": "cpu"}
        unfinished.add("short", forecast_error(whole, bench.short, folder, reference))
    found = unfinished.found | numbers(unfinished.found, bench, reference)
    record.write_json(out, found)
    unfinished.path.unlink()
    print(f"\nOn {found['processor']}, {study.threads} threads, {study.precision}:")
    print(f"{report(found, bench.targets)}\n\nwritten: {out}")


if __name__ == "__main__":
    main()
