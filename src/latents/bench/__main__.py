"""The benchmark: our loop beside the ordinary one, the parts of a step, the workflow, growth, and a sprint.

    python -m latents.bench --config config/study.yaml --bench config/bench.yaml --reference reference \
        --machine results/machine.json --final --out results/bench/cpu.json

measures part after part and writes one record. Until it is complete, the parts measured so far are in
cpu.unfinished beside it, from which the same command goes on, on the same machine and source. Speeds, steps
and commands are measured in turn, round by round, and every round is recorded; growth is one run for each
size. With --final the sprint's accuracy is measured on test, once for each seed, after the last training;
otherwise on val. For Linux and a CPU. Takes an hour on two recent cores that do nothing else.
"""

import tempfile
from collections.abc import Callable
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
from latents.plain import digest
from latents.report.targets import Target
from latents.study import Study


class Unfinished:
    """The record so far, written to a file after every part."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Goes on from a file with this header. Raises Problem when it is broken or cannot be written."""
        self.path, self.found = path, header
        if path.is_file():
            before = record.read_json(path)
            same = digest({key: before.get(key) for key in header}) == digest(header)
            self.found = before if same else header
        record.write_json(path, self.found)

    def part(self, name: str, measure: Callable[[], Any]) -> Any:
        """What a part measures, now or before."""
        if name not in self.found:
            self.found[name] = measure()
            record.write_json(self.path, self.found)
        return self.found[name]


def header(bench: Bench, study: Study, reference: Path, *, final: bool) -> dict[str, Any]:
    """What the record begins with: settings, source, machine, and whether the test split is read."""
    return {
        "format": record.FORMAT,
        "bench": msgspec.to_builtins(bench),
        "threads": study.threads,
        "precision": study.precision,
        "final": final,
        "study_sha256": digest(study),
        "summary_sha256": record.sha256(reference / "summary.csv"),
        "source_sha256": record.source_sha256(),
        "bench_sha256": record.tree_sha256([*Path(__file__).parent.glob("*.py")]),
    } | record.environment()


def summaries(rounds: dict[str, list[float]]) -> dict[str, Any]:
    """The `summary` of each command's rounds."""
    return {name: summary(values) for name, values in rounds.items()}


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
        begun = header(bench, study, reference, final=options.final)
        unfinished = Unfinished(out.with_suffix(".unfinished"), begun)
        commands = unfinished.part("workflow", lambda: summaries(workflow.measure(bench.rounds, reference)))
        medians = {name: one["median"] for name, one in commands.items()}
        say(", ".join(f"{name} {seconds:.1f} s" for name, seconds in medians.items()))
        unfinished.part("overhead", lambda: workflow.overhead(reference, medians))
        unfinished.part("throughput", lambda: throughput(bench, paths, list(study.datasets)))
        unfinished.part("peak", lambda: peak(bench, paths["changes"]))
        unfinished.part("growth", lambda: growth(bench, paths, folder))
        unfinished.part("sprint", lambda: sprint(bench, paths["sprint"], folder, final=options.final))
        whole = msgspec.to_builtins(config.read(options.config)) | {"device": "cpu"}
        unfinished.part("short", lambda: forecast_error(whole, bench.short, folder, reference))
    found = unfinished.found | numbers(unfinished.found, bench, reference)
    record.write_json(out, found)
    unfinished.path.unlink()
    print(f"\nOn {found['processor']}, {study.threads} threads, {study.precision}:")
    print(f"{report(found, bench.targets)}\n\nwritten: {out}")


if __name__ == "__main__":
    main()
