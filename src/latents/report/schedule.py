"""How long the recorded jobs of a study take on several nodes: one job on a node at a time, after those it
needs.

List scheduling (Graham 1969) of training, measuring and t-SNE, then figures, tables and paper as one job;
no waiting in a queue, no slower disk.
"""

import heapq
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from latents import record
from latents.report.read import benchmarks
from latents.study import Run, Study


class Job(NamedTuple):
    """One job of the workflow."""

    step: str  # train, evaluate or tsne; `end` is figures, tables and paper
    run: Run


Seconds = dict[Job, float]
Graph = dict[Job, tuple[float, list[Job]]]  # seconds, and the jobs that it needs, which stand before it

END = Job("end", Run("", "", 0))
HEAD = ("nodes", "hours", "times as fast", "of each node used")


def recorded(study: Study, results: Path) -> Seconds:
    """The seconds of every training and evaluation of a finished study."""
    jobs = [Job("train", run) for run in (*study.reference_classifiers().values(), *study.runs())]
    jobs += [Job("evaluate", run) for run in study.runs()]
    return {job: record.read_json(results / f"timing/{job.run}.{job.step}.json")["seconds"] for job in jobs}


def graph(study: Study, reference: Path, seconds: Seconds) -> Graph:
    """Every recorded job with what it needs; the end needs all."""
    classifiers = study.reference_classifiers()
    found: Graph = {}
    for job, spent in sorted(seconds.items(), key=lambda one: study.start(one[0].run) is not None):
        needs = [Job("train", start)] if (start := study.start(job.run)) else []
        if job.step == "evaluate":
            needs = [Job("train", job.run), Job("train", classifiers[job.run.dataset])]
        found[job] = spent, [need for need in needs if need in seconds]
    for dataset, chosen in study.datasets.items():
        for method in study.methods:
            run = Run(dataset, method, chosen.seeds[0])
            timing = reference / f"timing/{dataset}/{method}/tsne.json"
            if timing.is_file() and Job("evaluate", run) in seconds:
                found[Job("tsne", run)] = record.read_json(timing)["seconds"], [Job("evaluate", run)]
    found[END] = paper_seconds(reference), list(found)
    return found


def paper_seconds(reference: Path) -> float:
    """Of figures, tables and paper, as the first of the benchmarks timed them."""
    return record.read_json(benchmarks(reference)[0])["workflow"]["paper"]["median"]


def below(graph: Graph) -> dict[Job, float]:
    """Seconds from the start of each job to the end of all, with a node for each; most: the critical path."""
    found: dict[Job, float] = {}
    for job in reversed(graph):
        spent, needs = graph[job]
        found[job] = found.get(job, 0.0) + spent
        for need in needs:
            found[need] = max(found.get(need, 0.0), found[job])
    return found


def makespan(graph: Graph, nodes: int) -> float:
    """Seconds until all jobs are done on some nodes: a free node takes the ready job with most behind it."""
    behind, needs = below(graph), {job: set(needs) for job, (_, needs) in graph.items()}
    now, running, waiting = 0.0, [], set(graph)
    while waiting or running:
        ready = sorted((job for job in waiting if not needs[job]), key=lambda job: (-behind[job], job))
        for job in ready[: nodes - len(running)]:
            heapq.heappush(running, (now + graph[job][0], job))
            waiting.remove(job)
        now, done = heapq.heappop(running)
        for others in needs.values():
            others.discard(done)
    return now


def on_nodes(study: Study, reference: Path, seconds: Seconds, most: int) -> list[str]:
    """Lines: hours, gain and share of each node that works, on 1, 2, 4 ... nodes, and the critical path."""
    jobs = graph(study, reference, seconds)
    alone, path = makespan(jobs, 1), max(below(jobs).values())
    counts = sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most})
    lines = []
    for n in counts:
        spent = makespan(jobs, n)
        gain = alone / spent
        lines.append((n, f"{spent / 3600:.2f}", f"{gain:.1f}", f"{100 * gain / n:.0f} %"))
    enough = next((n for n in range(1, len(jobs) + 1) if makespan(jobs, n) <= 1.01 * path), len(jobs))
    table = tabulate(lines, HEAD, tablefmt="plain", disable_numparse=True, colglobalalign="right")
    critical = f"the critical path is {path / 3600:.2f} hours: more than {enough} nodes gain nothing"
    return [*table.splitlines(), critical]
