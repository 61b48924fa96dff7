"""What a GPU makes of the study: the results of a CPU, the same bytes every time, and how fast.

    python -m latents.bench.gpu --config config/study.yaml --large config/large.yaml --small config/demo.yaml \
        --reference reference --device cuda --out results/gpu.json

measures part after part (PARTS) and writes the record after each, so that the same command goes on where one
was interrupted. It reads the published data, but no test split. With `--device cpu` it does the same on the
processor, which for studies as large as these takes hours.
"""

import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Generator, Tensor
from torch.nn import functional

from latents import cli, config, evaluate, loop, machine, record, train
from latents.bench.compare import say
from latents.bench.loops import flops_of_convolution
from latents.checkpoint import Checkpoint
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.device import autocast, device_of, generator, to_float
from latents.model import build
from latents.optimise import optimizers_for
from latents.report.verify_numbers import Seeds, compare_numbers
from latents.study import ALLOCATOR, Run, Study

STEPS = 20  # of which the losses are compared
# of the first loss and of the largest difference to the CPU, relative: in twenty steps rounding grows to 0.018
# between two memory layouts on one CPU
FIRST, LARGEST = 1e-4, 0.05
SEEDS = (1, 2, 3)  # of the CPU's small trainings, beside which one on the GPU is put
CONVOLUTIONS = [(64, 64, 32, 1024), (256, 256, 16, 1024), (256, 256, 8, 2048), (512, 512, 8, 2048)]
COPY = 2**30  # bytes whose copying is timed
JOBS = 3  # trainings at once on one GPU, beside one alone

Facts = dict[str, Any]


class Check(NamedTuple):
    """What is measured, and where. The studies have the device and a settled precision."""

    study: Study
    large: Study
    small: Study
    device: torch.device
    reference: Path  # results of a finished study
    folder: Path  # for what is not kept


def kinds(study: Study) -> list[Run]:
    """The first seed of every trained method on every data set."""
    return [
        Run(name, method, chosen.seeds[0])
        for name, chosen in study.datasets.items()
        for method in study.trained_methods
    ]


def waited(device: torch.device) -> float:
    """The time once all work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(call: Callable[[], Any], device: torch.device, least: float = 0.2) -> float:
    """Median seconds of a call, over three rounds that last for `least` seconds each."""
    call()
    started = waited(device)
    call()
    repeats = max(1, round(least / max(1e-6, waited(device) - started)))
    rounds = []
    for _ in range(3):
        started = waited(device)
        for _ in range(repeats):
            call()
        rounds.append((waited(device) - started) / repeats)
    return median(rounds)


# -- The parts


def peaks(check: Check) -> Facts:
    """The fastest 3x3 convolutions, forward and backward, in FLOP/s, and the bytes/s of copying."""
    convolutions, small = {}, check.device.type == "cpu"
    for inputs, outputs, side, batch in CONVOLUTIONS:
        shape = (inputs, outputs, side, batch // 32 if small else batch)
        for precision in machine.PRECISIONS:
            kind = getattr(torch, precision)

            def random(*sizes: int, kind: torch.dtype = kind) -> Tensor:
                return torch.randn(*sizes, device=check.device).to(kind, memory_format=torch.channels_last)

            x, weight = random(shape[3], inputs, side, side), random(outputs, inputs, 3, 3)
            x.requires_grad_(), weight.requires_grad_()
            gradient = random(shape[3], outputs, side, side)

            def step(x: Tensor = x, weight: Tensor = weight, gradient: Tensor = gradient) -> Any:
                return torch.autograd.grad(functional.conv2d(x, weight, padding=1), (x, weight), gradient)

            spent = seconds_of(step, check.device)
            convolutions[f"{precision} {' '.join(map(str, shape))}"] = flops_of_convolution(shape) / spent
    source = torch.zeros(COPY // 64 if small else COPY, dtype=torch.uint8, device=check.device)
    target = torch.empty_like(source)
    copied = 2 * len(source) / seconds_of(lambda: target.copy_(source), check.device)
    return {"convolutions": convolutions, "bytes_per_second": copied}


def whole(check: Check, study: Study, run: Run) -> Facts:
    """Train a run as the study does, and measure it on val, beside the committed run where that has it."""
    if check.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trained = train.train(study, run, check.folder / "whole.checkpoint")
    (check.folder / "whole.checkpoint").unlink(missing_ok=True)
    facts, _, seconds = evaluate.evaluate(study, run, trained.model, trained.model, final=False)
    beside = sorted((check.reference / f"records/{run.dataset}/{run.method}").glob("*.json"))
    published = [on_val(record.read_json(path)["metrics"]) for path in beside]
    found = on_val(facts["metrics"])
    return {
        "run": str(run),
        "precision": study.precision,
        "seconds": trained.seconds | {f"evaluation, {part}": spent for part, spent in seconds.items()},
        "train_flops": trained.facts["train_flops"],
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if check.device.type == "cuda" else None,
        "val": found,
        "val_of_committed_runs": {
            name: [one[name] for one in published if name in one] for name in found if published
        },
    }


def on_val(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics of a record that are of val."""
    return {one["metric"]: one["value"] for one in metrics if one["split"] == "val"}


def guided(check: Check) -> Facts:
    """`guided` on CIFAR-10, whole."""
    return whole(check, check.study, Run("cifar10", "guided", 1))


def contrastive(check: Check) -> Facts:
    """`contrastive` on CIFAR-10, whole."""
    return whole(check, check.study, Run("cifar10", "contrastive", 1))


def large_guided(check: Check) -> Facts:
    """`guided` of the large study on CIFAR-10, whole."""
    return whole(check._replace(reference=check.folder), check.large, Run("cifar10", "guided", 1))


def same_bytes(check: Check) -> dict[str, Facts]:
    """Whether small trainings of every kind give the same bytes: again, and after a stop and a resumption."""
    return {str(run): same_bytes_of(check, run) for run in kinds(check.small)}


def same_bytes_of(check: Check, run: Run) -> Facts:
    settings = check.small.settings(run.dataset, run.method)
    prepared = train.prepare(check.small, run, check.device)
    first = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    task = loop.Task(
        name=str(run),
        module=prepared.model,
        loss=prepared.loss,
        items=len(prepared.split.train.labels),
        settings=msgspec.structs.replace(settings.optimisation, epochs=2),
        seed=run.seed,
        device=check.device,
        validate=prepared.validate,
        linear_rate=settings.linear_rate,
    )

    def trained(checkpoint: Checkpoint | None = None) -> dict[str, str]:
        """Hashes of the weights after a training that begins with the same ones."""
        prepared.model.load_state_dict(first)
        with contextlib.redirect_stdout(io.StringIO()):
            loop.fit(task, checkpoint)
        return {
            name: record.sha256(value.cpu().contiguous().numpy().tobytes())
            for name, value in prepared.model.state_dict().items()
        }

    once = trained()
    started = waited(check.device)
    again = trained()
    spent = waited(check.device) - started
    stopped = False
    checkpoint = Checkpoint(check.folder / "stopped.checkpoint", "bytes")
    with signalled(0.6 * spent):
        try:
            resumed = trained(checkpoint)
        except SystemExit:
            stopped = True
            resumed = trained(checkpoint)
    checkpoint.path.unlink(missing_ok=True)
    return {
        "again": again == once,
        "stopped": stopped,
        "resumed": resumed == once,
        "differing": [name for name in once if not once[name] == again[name] == resumed[name]][:5],
        "seconds": spent,
    }


@contextlib.contextmanager
def signalled(after: float) -> Iterator[None]:
    """This process gets SIGTERM after some seconds, which ends nothing but a training that waits for it."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGTERM, before)


def first_losses(check: Check) -> dict[str, Facts]:
    """The losses of the first steps in float32, beside the CPU's on the same views."""
    return {str(run): first_losses_of(check, run) for run in kinds(check.small)}


def first_losses_of(check: Check, run: Run) -> Facts:
    settings = check.small.settings(run.dataset, run.method)
    cpu, losses, sides = torch.device("cpu"), {}, {}
    study = msgspec.structs.replace(check.small, precision="float32")
    for name, device in (("cpu", cpu), ("gpu", check.device)):
        prepared = train.prepare(study, run, device)
        prepared.model.train()
        losses[name] = []
        sides[name] = device, prepared, optimizers_for(
            prepared.model, settings.optimisation, settings.linear_rate
        )
    steps = settings.optimisation.epochs * study.dataset(run.dataset).train // settings.optimisation.batch_size
    random = generator(cpu, run.seed)
    order = torch.randperm(len(sides["cpu"][1].split.train.labels), generator=random)
    batches = order.split(settings.optimisation.batch_size)
    for number in range(STEPS):
        views, labels = sides["cpu"][1].batch(batches[number % (len(batches) - 1)], random)
        for name, (device, prepared, optimizers) in sides.items():
            loop.set_rate(optimizers, loop.rate_at(number, steps, settings.optimisation))
            loss = prepared.objective(tuple(view.to(device) for view in views), labels.to(device))
            prepared.model.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses[name].append(loss.item())
    apart = [abs(a - b) / abs(a) for a, b in zip(losses["cpu"], losses["gpu"], strict=True)]
    return {"first": apart[0], "largest": max(apart), "within": apart[0] <= FIRST and max(apart) <= LARGEST} | losses


def seeds_explain(check: Check) -> Facts:
    """Small trainings of every kind, measured on val, beside those of the CPU in float32."""
    on_cpu = msgspec.structs.replace(check.small, device="cpu", precision="float32", threads=1)
    jobs = [(on_cpu, run._replace(seed=seed)) for run in kinds(on_cpu) for seed in SEEDS]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(max(1, len(os.sched_getaffinity(0))), context) as pool:
        waiting = [pool.submit(measured, *job) for job in jobs]
        own = numbers([(run, measured(check.small, run)) for run in kinds(check.small)])
        cpu = numbers([(run, one.result()) for (_, run), one in zip(jobs, waiting, strict=True)])
    compared = compare_numbers(cpu, own)
    return {
        "compared": len(compared),
        "off": [one for one in compared if one["verdict"] == "off"],
        "numbers": [
            {key: one[key] for key in ("dataset", "method", "metric", "published", "own", "verdict")}
            for one in compared
            if one["metric"] in ("accuracy_linear", "accuracy_head", "mae")
        ],
    }


def measured(study: Study, run: Run) -> dict[str, float]:
    """Train a run and measure it on val."""
    path = Path(f"{study.checkpoints}/gpu-check-{os.getpid()}.checkpoint")
    with contextlib.redirect_stdout(io.StringIO()):
        trained = train.train(study, run, path)
        facts, *_ = evaluate.evaluate(study, run, trained.model, trained.model, final=False)
    path.unlink(missing_ok=True)
    return on_val(facts["metrics"])


def numbers(found: list[tuple[Run, dict[str, float]]]) -> dict[tuple, Seeds]:
    """By data set, method, metric and split, the values of all seeds."""
    made: dict[tuple, Seeds] = {}
    for run, values in found:
        for name, value in values.items():
            made.setdefault((run.dataset, run.method, name, "val"), {})[run.seed] = value
    return made


def speed(check: Check) -> dict[str, dict[str, Facts]]:
    """For every kind of training of study and large study: images a second, and where a step's time goes."""
    return {
        study.study: {str(run): speed_of(check, study, run) for run in kinds(study)}
        for study in (check.study, check.large)
    }


def speed_of(check: Check, study: Study, run: Run) -> Facts:
    """Seconds of a step and its parts on random images. `host`: what launching every operation adds."""
    settings, device = study.settings(run.dataset, run.method), check.device
    n, random = settings.optimisation.batch_size, Generator(device).manual_seed(run.seed)
    pixels, labels = machine.random_images(run, n, random)
    index = torch.arange(n, device=device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = build(study, run).to(device, memory_format=torch.channels_last).train()
    optimizers = optimizers_for(model, settings.optimisation, settings.linear_rate)
    loop.set_rate(optimizers, 0.0)

    def views() -> tuple[Tensor, ...]:
        with autocast(device, study.precision):
            return model.views(to_float(pixels[index]), random)

    def forward() -> Tensor:
        with autocast(device, study.precision):
            return model.objective(views(), labels)

    def backward() -> Tensor:
        loss = forward()
        model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    def step() -> Tensor:
        loss = backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    stages = {"data": lambda: views()[0], "forward": forward, "backward": backward, "optimizer": step}
    for _ in range(loop.EAGER):
        step()
    eager = seconds_of(step, device)
    spent = {}
    for name, call in stages.items():
        if device.type == "cuda":
            graph, _ = loop.captured(call, random, f"{run}, {name}")
            spent[name] = seconds_of(graph.replay, device)
            del graph, _
        else:
            spent[name] = seconds_of(call, device)
    ends = list(spent.values())
    parts = dict(zip(spent, [ends[0], *(b - a for a, b in zip(ends, ends[1:], strict=False))], strict=True))
    flops = machine.operations(study, run) / machine.images(study, run) * n
    return {
        "batch": n,
        "images_per_second": n / spent["optimizer"],
        "flops_per_second": flops / spent["optimizer"],
        "parts": parts | {"host": eager - spent["optimizer"]},
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def jobs(check: Check) -> Facts:
    """Seconds of a whole training job of `guided` on CIFAR-10, alone and beside others on the same GPU."""
    path = check.folder / "study.yaml"
    record.write_text(path, msgspec.json.encode(check.study).decode())  # JSON is YAML
    found = {}
    for at_once in (1, JOBS):
        started = time.perf_counter()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "latents.train", "--config", str(path), "--dataset", "cifar10"]
                + ["--method", "guided", "--seed", str(seed)]
                + [
                    word
                    for name in ("out", "record", "curve", "timing")
                    for word in (f"--{name}", str(check.folder / f"job{seed}.{name}"))
                ],
                env=os.environ | ALLOCATOR,
                stdout=subprocess.DEVNULL,
            )
            for seed in range(1, at_once + 1)
        ]
        if any(process.wait() for process in processes):
            raise Problem("a training job failed; its error is above")
        found[str(at_once)] = {
            "seconds": time.perf_counter() - started,
            "parts": [
                record.read_json(check.folder / f"job{seed}.timing")["parts"]
                for seed in range(1, at_once + 1)
            ],
        }
    return found


PARTS: dict[str, Callable[[Check], Facts]] = {
    "guided": guided,
    "same_bytes": same_bytes,
    "first_losses": first_losses,
    "peaks": peaks,
    "speed": speed,
    "contrastive": contrastive,
    "jobs": jobs,
    "seeds_explain": seeds_explain,
    "large_guided": large_guided,
}


# -- The record


def hardware(device: torch.device) -> Facts:
    """The GPU, its driver and the libraries; on a CPU nothing."""
    if device.type == "cpu":
        return {}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = None
    about = torch.cuda.get_device_properties(device)
    return {
        "memory_bytes": about.total_memory,
        "multiprocessors": about.multi_processor_count,
        "capability": f"{about.major}.{about.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def begin(path: Path, study: Study, device: torch.device) -> Facts:
    """The record so far, if it is of this device, source and study, else its beginning."""
    wanted = {
        "hardware": hardware(device),
        "source_sha256": record.source_sha256(),
        "check_sha256": record.sha256(Path(__file__)),
    }
    if path.exists():
        found = record.read_json(path)
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
    found = machine.describe(study)
    return found | {"precision": machine.choice(study, found["rates"])} | wanted


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "large", "small", paths=("reference", "out"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    study, large, small = (
        msgspec.structs.replace(config.read(path), device=options.device)
        for path in (options.config, options.large, options.small)
    )
    device = device_of(study)
    found = begin(options.out, study, device)
    record.write_json(options.out, found)
    say(f"{found['device']}: {found['precision']}")
    settled = {"precision": found["precision"]}
    check = Check(
        msgspec.structs.replace(study, **settled),
        msgspec.structs.replace(large, **settled),
        msgspec.structs.replace(small, **settled, source=study.source),
        device,
        options.reference,
        Path(study.checkpoints) / "gpu-check",
    )
    failed = []
    for name, part in PARTS.items():
        if name in found:
            continue
        started = time.perf_counter()
        try:
            found[name] = part(check)
        except Exception:  # the other parts are worth their time
            failed.append(name)
            traceback.print_exc()
            continue
        record.write_json(options.out, found)
        say(f"{name}: {time.perf_counter() - started:.0f} s")
    if failed:
        raise Problem(f"{', '.join(failed)}: failed, see above; the same command tries again")


if __name__ == "__main__":
    main()
