"""How far a forecast is off: that of a short study, which then runs through the workflow on this machine."""

import os
from pathlib import Path
from typing import Any

import yaml

from latents import config, record
from latents.bench import workflow
from latents.bench.compare import say
from latents.bench.settings import Short
from latents.faults.copies import SNAKEMAKE, copy_checkout, environment
from latents.report import forecast, schedule
from latents.report.forecast import Machine
from latents.report.read import read_record
from latents.study import Study

NAME = "config/short.yaml"


def shortened(plain: dict[str, Any], settings: Short) -> dict[str, Any]:
    """CIFAR-10 of the study: some of its methods, one seed, fewer epochs, the precision of this machine.

    Decoders on frozen codes are trained once: the longer ones would be most of so short a study.
    """
    dataset = plain["datasets"]["cifar10"]
    methods = {name: dict(dataset["methods"][name]) for name in settings.methods}
    for one in methods.values():
        if "optimisation" in one:
            one["optimisation"] = one["optimisation"] | {"epochs": settings.epochs}
    dataset = dataset | {"methods": methods, "seeds": dataset["seeds"][:1], "sweeps": {}}
    top = {"study": "short", "folder": "short/", "precision": "auto", "datasets": {"cifar10": dataset}}
    return plain | top | {"decoder": plain["decoder"] | {"epochs-curve": []}}


def forecast_error(plain: dict[str, Any], settings: Short, folder: Path, reference: Path) -> dict[str, Any]:
    """Seconds of a short study to its summary, forecast and taken, and those of trainings and evaluations.

    `plain` is the whole study as plain data. Figures and paper, which the forecast adds, are not run.
    """
    checkout = copy_checkout(folder / "short", reference)
    (checkout / NAME).write_text(yaml.safe_dump(shortened(plain, settings)))
    study, cores = config.read(checkout / NAME), len(os.sched_getaffinity(0))
    wanted = "short/results/summary.csv"
    command = [SNAKEMAKE, "--cores", str(cores), "--config", f"study={NAME}", "--", wanted]
    data = {"LATENTS_DATA": str(Path(study.data).resolve())} if study.source == "download" else {}
    taken = workflow.timed(*command, folder=checkout, environment=environment(checkout, **data))
    return compared(study, checkout / "short/results", reference, cores) | {"taken": taken}


def compared(study: Study, results: Path, reference: Path, cores: int) -> dict[str, Any]:
    """What was forecast for a finished study, and what its jobs took by their own clocks."""
    machine = read_record(results / "machine.json", Machine)
    seconds = forecast.forecast(study, machine, reference)
    end = schedule.paper_seconds(reference)
    found: dict[str, Any] = {
        "forecast": 3600 * forecast.elapsed(study, machine, reference, seconds.items(), cores) - end,
        "cores": cores,
    }
    for step in ("train", "evaluate"):
        jobs = {job: spent for job, spent in seconds.items() if job.step == step}
        clocks = [record.read_json(results / f"timing/{job.run}.{step}.json")["seconds"] for job in jobs]
        found[step] = {"forecast": sum(jobs.values()), "taken": sum(clocks), "jobs": len(jobs)}
        say(f"{step}: {found[step]['forecast']:.0f} s forecast, {found[step]['taken']:.0f} s taken")
    return found
