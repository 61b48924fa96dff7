"""The benchmark: both loops compute the same, their views are of the same kinds, and its sums are correct."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from conftest import shipped_study
from made_up import benchmark, call
from msgspec.structs import replace
from openTSNE import TSNE
from PIL import Image
from sklearn import manifold
from tiny import Runs
from torch import Generator, Tensor
from torch.utils.data import Sampler
from torch.utils.flop_counter import FlopCounterMode

from latents import augment, config, data, record, train
from latents.bench import __main__ as bench
from latents.bench import growth, loops, ordinary, short, workflow
from latents.bench.settings import METHODS, NUMBERS, Bench
from latents.bench.worker import Worker
from latents.cli import Problem
from latents.device import generator
from latents.loop import Task, fit, rate_at
from latents.methods.exp2_guided import GuidedEncoder
from latents.methods.settings import MethodSettings
from latents.plain import merge, parse
from latents.report import speed
from latents.report.figures import speed as drawing
from latents.report.read import benchmarks
from latents.report.targets import Target
from latents.settings import Augmentation
from latents.study import ALLOCATOR, Run, Study

CPU = torch.device("cpu")
REAL = os.environ.get("LATENTS_DATA")
REFERENCE = record.ROOT / "reference"
BENCH = record.ROOT / "config/bench.yaml"


def settings_of(runs: Runs, dataset: str, method: str) -> MethodSettings:
    return runs.study.settings(dataset, method)


def committed() -> Bench:
    return parse(BENCH, Bench)


def still(runs: Runs, dataset: str) -> Study:
    """The tiny study with every augmentation and corruption off."""
    chosen = runs.study.datasets[dataset]
    methods = dict(chosen.methods)
    for name in ("autoencoder-plus", "guided", "contrastive"):
        keys = ("augmentation", "corruption")
        off = {key: Augmentation() for key in keys if hasattr(methods[name], key)}
        methods[name] = replace(methods[name], **off)
    # 128 components reconstruct 60 images exactly: the gradient of L1 would start as the sign of rounding
    methods["autoencoder-plus"] = replace(methods["autoencoder-plus"], linear_path=False)
    return replace(runs.study, datasets={dataset: replace(chosen, methods=methods)})


class Given(Sampler):
    """The order of an epoch, given."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def __iter__(self):
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


@pytest.mark.parametrize("method", METHODS)
def test_with_augmentation_off_both_loops_reach_the_same_loss_from_the_same_start(
    runs: Runs, method: str
) -> None:
    study, run = still(runs, "mnist"), Run("mnist", method, 1)
    settings = study.settings("mnist", method)
    once = replace(settings.optimisation, epochs=1)
    ours = train.prepare(study, run, CPU)
    items = len(ours.split.train.labels)
    task = Task(
        "ours", ours.model, ours.loss, items, once, run.seed, CPU, ours.validate, settings.linear_rate
    )
    curve, _ = fit(task)

    theirs = train.prepare(study, run, CPU)
    theirs.model.to(memory_format=torch.contiguous_format)
    order = Given(torch.randperm(items, generator=generator(CPU, run.seed, 0)).tolist())
    images = ordinary.published(runs.folder / "data", "mnist", ordinary.views(settings, "mnist"))
    loader = ordinary.batches(images, theirs.split.train.indices.tolist(), once.batch_size, 0, order)
    steps = items // once.batch_size
    stream = ordinary.steps(theirs.model, settings, loader, lambda step: rate_at(step, steps, once))
    losses = [next(stream) for _ in range(steps)]
    assert np.mean(losses) == pytest.approx(curve[0][2], rel=1e-4)
    assert losses[-1] != pytest.approx(losses[0], rel=5e-3)  # the steps have moved the model by then
    theirs.model.eval()
    with torch.inference_mode():
        validation = theirs.validate(generator(CPU, run.seed, 0, 1))
    # AdamW turns rounding into steps where there is no gradient
    assert validation == pytest.approx(curve[0][3], rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_changes_the_loss_by_no_more_than_its_rounding(runs: Runs, method: str) -> None:
    index, losses = torch.arange(20), {}
    for precision in ("float32", "bfloat16"):
        study = replace(runs.study, precision=precision)
        prepared = train.prepare(study, Run("mnist", method, 1), CPU)
        losses[precision] = prepared.loss(index, generator(CPU, 1)).item()
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=2**-6)


@pytest.mark.parametrize(
    "setting",
    [
        {"pad_crop": 2},
        {"resized_crop": (0.3, 0.9)},
        {"flip": True},
        {"rotate": 20.0},
        {"rotate": 20.0, "pad_crop": 2},
        {"brightness": 0.5},
        {"contrast": 0.5},
        {"saturation": 0.5},
        {"hue": 0.2},
        {"grayscale": 1.0},
        {"noise": 0.1},
    ],
    ids=str,
)
def test_every_augmentation_has_its_counterpart_in_the_ordinary_loop(runs: Runs, setting: dict) -> None:
    guided = replace(settings_of(runs, "cifar10", "guided"), augmentation=Augmentation(**setting))
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    torch.manual_seed(1)
    items = [ordinary.views(guided, "cifar10")(Image.fromarray(pixels)) for _ in range(200)]
    theirs = torch.stack([view for (view,) in items])
    assert theirs.shape == (200, 3, 32, 32) and theirs.dtype == torch.float32
    assert theirs.min() >= 0 and theirs.max() <= 1
    images = torch.from_numpy(pixels).permute(2, 0, 1).div(255).expand(200, -1, -1, -1)
    ours = augment.view(images, guided.augmentation, generator(CPU, 1))
    changes = [(views - images).abs().mean().item() for views in (theirs, ours)]
    # the same amplitude, from other random numbers
    assert changes[0] > 0.01 and changes[0] == pytest.approx(changes[1], rel=0.25)


def test_a_contrastive_item_is_two_views_of_one_image_and_a_corrupted_item_has_its_target(runs: Runs) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8))
    torch.manual_seed(1)
    one, other = ordinary.views(settings_of(runs, "cifar10", "contrastive"), "cifar10")(image)
    assert one.shape == other.shape == (3, 32, 32) and not torch.equal(one, other)
    plus = settings_of(runs, "cifar10", "autoencoder-plus")
    plus = replace(plus, augmentation=Augmentation(), corruption=Augmentation(noise=0.1))
    shares = (0.0, 1.0)
    items = [ordinary.views(replace(plus, clean_fraction=share), "cifar10")(image) for share in shares]
    assert not torch.equal(*items[0]) and torch.equal(*items[1])
    assert 0.02 < (items[0][0] - items[0][1]).abs().mean() < 0.15


def test_a_rate_is_images_over_seconds_after_a_warm_up() -> None:
    asked = []

    def steps(k: int) -> float:
        asked.append(k)
        return 0.5 * k

    assert loops.rate(steps, 128, 4.0) == 256.0
    assert asked == [1, 1, 8]
    assert [loops.rate(steps, 128, seconds, 6, 20) for seconds in (0.1, 90.0)] == [256.0, 256.0]
    assert asked[3:] == [1, 1, 6, 1, 1, 20]


def test_slower_views_lengthen_the_data_of_a_step_and_no_other_part(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, slept, view = Run("mnist", "guided", 1), 0.4, augment.view
    before = loops.parts(str(runs.config), run, 0.01)

    def slow(*arguments: Any) -> Tensor:
        time.sleep(slept)
        return view(*arguments)

    monkeypatch.setattr(augment, "view", slow)
    after = loops.parts(str(runs.config), run, 0.01)
    grown = {part: after[part] - before[part] for part in after}
    assert after["data"] >= slept and grown["data"] > slept / 2 and grown["step"] > slept / 2
    assert all(grown[part] < slept / 2 for part in ("forward", "backward", "optimizer")), grown


def test_traffic_is_what_operations_read_and_write_without_products_and_views() -> None:
    a, row = torch.ones(8, 4), torch.ones(4)
    with loops.Traffic() as traffic:
        (a @ a.T).view(4, 16)  # a product and views
    assert traffic.bytes == 0
    with loops.Traffic() as traffic:
        total = a + row  # 128 and 16 bytes read, 128 written
    assert traffic.bytes == 128 + 16 + 128
    with loops.Traffic() as traffic:
        total.add_(row.expand(8, 4))  # in place, and the bytes of the row once
    assert traffic.bytes == 128 + 16 + 128
    with loops.Traffic() as traffic:
        total.zero_()  # written alone
    assert traffic.bytes == 128
    with loops.Traffic() as traffic:
        torch._foreach_mul_([a, total], 2.0)  # returns nothing, reads and writes both
    assert traffic.bytes == 2 * (128 + 128)
    index = torch.tensor([0, 5])
    with loops.Traffic() as traffic:
        a[index]  # two rows read and written, and where they are
    assert traffic.bytes == 32 + 32 + 16
    weight = torch.ones(4, requires_grad=True)
    with loops.Traffic() as traffic:
        (a * weight).sum().backward()
    assert traffic.bytes > 2 * 128  # the gradient's operations too


def test_our_loop_is_timed_in_both_memory_formats(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = str(runs.config), Run("cifar10", "guided", 1)
    seen, views = [], GuidedEncoder.views

    def watched(model: GuidedEncoder, images: Tensor, random: Generator) -> tuple[Tensor]:
        seen.append(images)
        return views(model, images, random)

    monkeypatch.setattr(GuidedEncoder, "views", watched)
    for channels_last in (False, True, False):
        seen.clear()
        assert loops.ours(path, run, 0.01, channels_last=channels_last) > 0
        weight = loops.prepare_once(path, run, channels_last)[0].model.encoder.blocks[1][0].weight
        for one in (weight, *seen):
            assert one.is_contiguous(memory_format=torch.channels_last) == channels_last
            assert one.is_contiguous() != channels_last
        assert len(seen) > loops.FEWEST and seen[0].dtype == torch.float32 and seen[0].max() <= 1


def test_our_loop_is_timed_with_the_studys_own_conversion_of_images(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, to_float = [], train.to_float

    def watched(images: Tensor, *layout: Any) -> Tensor:
        asked.append(len(images))
        return to_float(images, *layout)

    monkeypatch.setattr(train, "to_float", watched)
    loops.ours(str(runs.config), Run("cifar10", "guided", 1), 0.01)
    assert len(asked) > loops.FEWEST


def test_the_memory_reported_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    np.ones(2**27)  # a GiB
    with Worker() as one:
        assert 0.05 < one(growth.peak_gib) < growth.peak_gib() - 0.5


def test_both_tsne_libraries_make_as_many_iterations_and_few_points_are_scored(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, other = {}, manifold.TSNE
    monkeypatch.setattr(manifold, "TSNE", lambda **settings: asked.update(settings) or other(**settings))
    found = [growth.tsne(str(runs.config), 100, other=one) for one in (False, True)]
    assert asked["max_iter"] == TSNE().early_exaggeration_iter + TSNE().n_iter
    assert all(one["seconds"] > 0 and one["gib"] > 0 for one in found)
    assert all(0.6 < one["trustworthiness"] <= 1 for one in found)
    monkeypatch.setattr(growth, "MOST_SCORED", 99)
    assert growth.tsne(str(runs.config), 100, other=True).keys() == {"seconds", "gib"}


def test_contenders_take_turns_both_ways_and_a_ratio_is_of_the_same_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, turns = [], 7 * len(METHODS)

    def answer(
        worker: Worker, function: Any, path: str, run: Run, seconds: float, *workers: int, **layout: bool
    ) -> float:
        """Made-up speeds: those of ours and of the ordinary loop without workers are of the round."""
        number = len(asked) // turns
        asked.append((worker.tuned, function, path, workers, layout))
        if workers == (0,):
            return (100.0, 200.0, 300.0)[number]
        return 1.0 if workers else (400.0, 300.0, 900.0)[number]

    monkeypatch.setattr(Worker, "__call__", answer)
    paths = {"float32": "float32", "changes": "changes"}
    lines = bench.throughput(replace(committed(), rounds=3), paths, ["mnist"])
    first, second, third = (asked[start : start + 7] for start in range(0, len(asked), turns))
    assert second == first[::-1] and third == first and len(first) == 7
    for line in lines:
        assert line["best_ordinary"] == "ordinary, 0 workers"
        assert line["images_per_second"]["ours"]["rounds"] == [400.0, 300.0, 900.0]
        levers = ("in memory", "channels last", "allocator", "ours")
        assert line["over_ordinary"] == dict.fromkeys(levers, 3.0)  # of 4, 1.5 and 3


def test_a_steps_share_of_the_peak_is_of_the_same_round_and_the_fastest_convolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, settings = [], committed()
    turns = len(settings.convolutions) + 1 + len(METHODS)
    parts = {"data": 0.5, "forward": 1.0, "backward": 2.0, "optimizer": 0.5}

    def answer(_: object, function: Any, __: str, what: Any, *___: object) -> Any:
        number = len(asked) // turns
        asked.append(what)
        if function is loops.convolution:
            return (100.0, 400.0, 200.0)[number] if what == settings.convolutions[1] else 50.0
        if function is loops.copying:
            return (50.0, 100.0, 200.0)[number]
        step = {"step": (4.0, 2.0, 1.0)[number], "validation": 1.0}
        return parts | step | {"flops": 80, "products": 80, "bytes": 40}

    monkeypatch.setattr(Worker, "__call__", answer)
    found = bench.peak(replace(settings, rounds=3), "changes")
    assert asked[turns : 2 * turns] == asked[2 * turns :][::-1] and asked[:turns] == asked[2 * turns :]
    assert found["fastest"] == 200.0 and list(found["methods"]) == list(METHODS)
    for one in found["methods"].values():
        assert one["conv_peak_share"] == pytest.approx(0.2)  # of 0.2, 0.1 and 0.4
        assert one["bound_share"] == pytest.approx(0.4)  # of (0.8 + 0.8) / 4, (0.2 + 0.4) / 2, 0.4 + 0.2
        assert one["step"] == 2.0
        assert one["shares"] == {"data": 0.25, "forward": 0.5, "backward": 1.0, "optimizer": 0.25}


def test_a_process_of_the_benchmark_has_the_allocators_settings_or_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    seen = {}
    for tuned in (True, False):
        with Worker(tuned=tuned) as one:
            seen[tuned] = [one(os.getenv, name) for name in ALLOCATOR]
    assert seen == {True: list(ALLOCATOR.values()), False: [None] * len(ALLOCATOR)}
    assert os.environ["MALLOC_MMAP_MAX_"] == "7"


def test_a_short_study_is_one_seed_of_some_methods_on_cifar10_with_fewer_epochs() -> None:
    settings = replace(committed().short, methods=["random", "guided"], epochs=2)
    study = config.from_plain("short", short.shortened(study_without_sweeps(), settings))
    assert list(study.datasets) == ["cifar10"] and study.folder == "short/" and study.precision == "auto"
    chosen = study.datasets["cifar10"]
    assert list(chosen.methods) == ["random", "guided"] and len(chosen.seeds) == 1 and not chosen.sweeps
    assert chosen.methods["guided"].optimisation.epochs == 2 and study.decoder.epochs_curve == ()
    assert len(study.runs()) == 2


def test_the_forecast_of_a_short_study_is_compared_with_the_clocks_of_its_jobs(tmp_path: Path) -> None:
    settings = replace(committed().short, methods=["random", "guided"])
    study = config.from_plain("short", short.shortened(study_without_sweeps(), settings))
    runs = [*study.runs(), *study.reference_classifiers().values()]
    kinds = [f"{run.dataset}/{run.method}" for run in runs]
    machine = {"processor": "A CPU", "device": "cpu", "threads": 1, "precision": "float32"}
    machine |= {"rates": {"cifar10/guided": {"float32": 10.0}}}
    machine |= {"operations": dict.fromkeys(kinds, 100.0), "images": dict.fromkeys(kinds, 100)}
    record.write_json(tmp_path / "machine.json", {"format": record.FORMAT} | machine)
    for step in ("train", "evaluate"):
        for run in runs:
            record.write_json(tmp_path / f"timing/{run}.{step}.json", train.timing({"training": 5.0}))
    found = short.compared(study, tmp_path, REFERENCE, 2)
    assert found["train"] == {"forecast": pytest.approx(3 * (4 + 10)), "taken": 15.0, "jobs": 3}
    assert found["evaluate"]["taken"] == 10.0 and found["evaluate"]["jobs"] == 2
    assert found["cores"] == 2 and found["forecast"] > 28


def test_a_number_that_was_not_reached_falls_short() -> None:
    targets = {"a": Target(at_least=3.0), "b": Target(at_most=6.0)}
    lines = bench.report({"a": 3.5, "b": None}, targets).splitlines()
    assert lines[0].endswith("holds")
    assert lines[1].endswith("FALLS SHORT") and "not reached" in lines[1]


RECORDS = benchmarks(REFERENCE)  # of the kinds of processors


def test_every_target_is_a_number_at_the_top_of_a_committed_record() -> None:
    found = [record.read_json(path) for path in RECORDS]
    assert any(committed().targets.keys() <= one.keys() for one in found)  # an older one has fewer


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_committed_benchmark_is_a_whole_one(path: Path) -> None:
    found = record.read_json(path)
    values = [found[name] for name in committed().targets if name in found]
    assert all(isinstance(value, float) for value in values if value is not None)
    assert found["sprint"]["split"] == "test" and found["bench"]["rounds"] >= 5


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_committed_benchmark_was_run_on_the_committed_study(path: Path) -> None:
    found = record.read_json(path)
    medians = {name: one["median"] for name, one in found["workflow"].items()}
    parts = workflow.overhead(REFERENCE, medians)
    assert found["overhead"] == pytest.approx(parts)
    assert found["overhead_share"] == pytest.approx(workflow.overhead_share(parts))
    assert found["peak_gib"] == pytest.approx(workflow.peak_gib(REFERENCE))


def test_the_paper_rounds_the_peak_of_the_memory_up() -> None:
    printed = [speed.facts(benchmark() | {"peak_gib": gib})["memory"] for gib in (4.2, 4.21, 4.29)]
    assert printed == ["4.2", "4.3", "4.3"]


def test_the_figure_of_the_benchmark_calls_the_last_lever_by_the_precision(tmp_path: Path) -> None:
    record.write_json(tmp_path / "bench/cpu.json", benchmark() | {"precision": "float32"})
    levers = drawing.draw(shipped_study(), tmp_path).axes[0]
    labels = [label.get_text() for label in levers.get_xticklabels()]
    assert labels == ["ordinary", "in memory", "channels last", "malloc", "float32"]


def write_timing(path: Path, seconds: float, **parts: Any) -> None:
    record.write_json(path, {"format": record.FORMAT, "seconds": seconds} | parts)


def test_the_overhead_is_all_that_is_not_the_study_itself(tmp_path: Path) -> None:
    measured = {"encode": 10.0, "probe": 20.0, "train decoder": 5.0, "decode": 5.0, "load": 5.0}
    jobs = {"train": {"training": 60.0, "preparing": 5.0}, "evaluate": measured}
    for step, parts in jobs.items():
        path = tmp_path / f"timing/mnist/pca/seed1.{step}.json"
        write_timing(path, sum(parts.values()), parts=parts)
    seconds = {"start": 2.0, "noop": 1.0, "figure": 2.0, "paper": 15.0}
    with pytest.raises(Problem, match="no job has the part 't-SNE'"):
        workflow.overhead(tmp_path, seconds)
    write_timing(tmp_path / "timing/mnist/tsne.json", 30.0)
    found = workflow.overhead(tmp_path, seconds)
    others = {"t-SNE": 30.0, "process starts": 12.0, "workflow": 18.0}
    assert found == jobs["train"] | jobs["evaluate"] | others
    assert workflow.overhead_share(found) == pytest.approx((5 + 5 + 12 + 18) / 170)


def test_the_flops_of_a_convolution_are_those_that_torch_counts() -> None:
    x, weight = torch.randn(3, 4, 6, 6, requires_grad=True), torch.randn(5, 4, 3, 3, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.conv2d(x, weight, padding=1).sum().backward()
    assert loops.flops_of_convolution((4, 5, 6, 3)) == counter.get_total_flops()


def test_an_unknown_key_or_target_of_the_benchmark_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(BENCH.read_text() + "\nround: 3\n")
    arguments = ["--config", record.ROOT / "config/study.yaml", "--bench", path]
    arguments += ["--reference", tmp_path, "--out", tmp_path / "out.json"]
    with pytest.raises(SystemExit, match=r"bench\.yaml: Object contains unknown field `round`"):
        call(bench, *arguments)
    refused = {
        "targets: speed is not a number of the benchmark": {"speed": {"at-least": 1.0}},
        "a target is at-least or at-most": {"peak_gib": {}},
    }
    arguments += ["--machine", tmp_path / "machine.json"]
    record.write_json(arguments[-1], {"format": record.FORMAT, "precision": "float32"})
    for message, targets in refused.items():
        path.write_text(yaml.safe_dump(yaml.safe_load(BENCH.read_text()) | {"targets": targets}))
        with pytest.raises(SystemExit, match=message):
            call(bench, *arguments)


def study_without_sweeps() -> dict[str, Any]:
    """config/study.yaml as plain data, without sweeps, its precision chosen."""
    plain = yaml.safe_load((record.ROOT / "config/study.yaml").read_text())
    del plain["sweeps"]
    return plain | {"precision": "bfloat16"}


def files(
    folder: Path,
    reference: Path = REFERENCE,
    study: Callable[[dict[str, Any]], object] = lambda _: None,
    **changes: Any,
) -> list[object]:
    """The benchmark's arguments: config/bench.yaml with changes, config/study.yaml as `study` edits it."""
    plain = study_without_sweeps()
    study(plain)
    (folder / "study.yaml").write_text(yaml.safe_dump(plain))
    merged = merge(yaml.safe_load(BENCH.read_text()), changes)
    (folder / "bench.yaml").write_text(yaml.safe_dump(merged))
    inputs = ["--config", folder / "study.yaml", "--bench", folder / "bench.yaml", "--reference", reference]
    return [*inputs, "--out", folder / "bench.json"]


REFUSED = {
    "a misspelt key of the sprint": (
        {"sprint": {"changes": {"optimisation": {"epoch": 4}}}},
        r"bench\.yaml: sprint: datasets\.cifar10\.methods\.guided: Object contains unknown field `epoch`",
    ),
    "a seed twice": (
        {"sprint": {"seeds": [1, 1]}},
        r"bench\.yaml: sprint: datasets\.cifar10\.seeds: \[1, 1\] names a seed twice",
    ),
    "a sprint without a budget": (
        {"sprint": {"changes": {"optimisation": None}}},
        r"bench\.yaml: changes has no optimisation\.epochs.* at `\$\.sprint`",
    ),
    "a misspelt key of the changes": (
        {"changes": {"encoder": {"width": 8}}},
        r"bench\.yaml: changes: Object contains unknown field `width`",
    ),
    "the split's seed": (
        {"changes": {"datasets": {"cifar10": {"seeds": [7001]}}}},
        r"bench\.yaml: changes: datasets\.cifar10\.split-seed: 7001 is a training seed too",
    ),
    "no numbers of images": (
        {"growth": {"images": []}},
        r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.growth\.images`",
    ),
    "no widths": (
        {"growth": {"widths": []}},
        r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.growth\.widths`",
    ),
    "no number of points in common": (
        {"growth": {"tsne-points-other": [7]}},
        r"bench\.yaml: tsne-points and tsne-points-other have no number in common.* at `\$\.growth`",
    ),
    "no convolutions": (
        {"convolutions": []},
        r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.convolutions`",
    ),
    "stand-in data": (
        {"study": lambda plain: plain.update({"source": "stand-in"})},
        r"study\.yaml: source: the benchmark does not use stand-in data",
    ),
    "a study without CIFAR-10": (
        {"study": lambda plain: plain["datasets"].pop("cifar10")},
        r"study\.yaml: datasets: cifar10 is missing",
    ),
    "no reference": (
        {"reference": Path("nowhere")},
        r"nowhere: no such folder; give the results of a finished study",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, sentence = REFUSED[fault]
    monkeypatch.setattr(workflow, "measure", lambda *_: pytest.fail("it measures"))
    with pytest.raises(SystemExit, match=sentence):
        call(bench, *files(tmp_path, **changes))
    assert not (tmp_path / "bench.unfinished").exists()


def a_second_each(rounds: int, _: Path) -> dict[str, list[float]]:
    """Made-up seconds of the workflow."""
    return {name: [1.0] * rounds for name in ("figure", "paper", "noop", "start")}


def test_the_largest_sets_of_images_are_there_and_what_was_found_before_a_failure_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def broken(*_: object) -> None:
        raise RuntimeError("the machine failed")

    def load(study: Study, dataset: str, *, with_test: bool) -> None:
        loaded.append((dataset, study.datasets[dataset].train, with_test))

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(workflow, "measure", a_second_each)
    monkeypatch.setattr(bench, "throughput", broken)
    arguments = files(tmp_path, growth={"images": [10000, 44000, 20000]})
    with pytest.raises(RuntimeError, match="the machine failed"):
        call(bench, *arguments)
    assert sorted(loaded) == [("cifar10", 44000, False), ("mnist", 55000, False)]
    found = record.read_json(tmp_path / "bench.unfinished")
    assert found["workflow"]["noop"]["median"] == 1.0 and found["overhead"]["training"] > 0
    assert not (tmp_path / "bench.json").exists()
    monkeypatch.setattr(workflow, "measure", lambda *_: pytest.fail("it measures again"))
    with pytest.raises(RuntimeError, match="the machine failed"):
        call(bench, *arguments)  # goes on where it failed


def test_a_record_begun_with_other_settings_is_not_gone_on_from(tmp_path: Path) -> None:
    path, other = tmp_path / "bench.unfinished", replace(shipped_study(), threads=7)

    def begun(study: Study, *, final: bool) -> bench.Unfinished:
        return bench.Unfinished(path, bench.header(committed(), study, REFERENCE, final=final))

    for study, final in ((shipped_study(), True), (other, False)):
        path.unlink(missing_ok=True)
        begun(shipped_study(), final=False).part("workflow", dict)
        assert "workflow" in begun(shipped_study(), final=False).found
        assert "workflow" not in begun(study, final=final).found
    with pytest.raises(Problem, match=r"bench\.unfinished/below: cannot be written"):
        bench.Unfinished(path / "below", {})


def test_the_record_is_whole_and_every_part_gets_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, timed, read = [], {"seconds": 2.0, "gib": 1.0}, functools.cache(config.read)
    step = {"data": 0.1, "forward": 0.3, "backward": 0.5, "optimizer": 0.1, "step": 1.0}
    step |= {"validation": 0.2, "flops": 3, "products": 4, "bytes": 4}
    found_by = {"parts": step, "epoch": timed, "tsne": timed, "head_accuracy": 90.0}

    def answer(_: Worker, function: Any, path: str, *__: object, **___: object) -> Any:
        study = read(path)
        if function is growth.epoch:
            epochs = study.settings("cifar10", "guided").optimisation.epochs
            trained.append((study.datasets["cifar10"].train, study.encoder.widths[-1], epochs))
        return found_by.get(function.__name__, 5.0)

    def command(*words: str, **_: object) -> float:
        study = read(words[words.index("--config") + 1])
        epochs = study.settings("cifar10", "guided").optimisation.epochs
        trained.append((int(words[words.index("--seed") + 1]), epochs))
        record.write_json(words[words.index("--timing") + 1], train.timing({"training": 1.0}))
        return 7.0

    monkeypatch.setattr(data, "load", lambda *_, **__: None)
    monkeypatch.setattr(Worker, "__call__", answer)
    monkeypatch.setattr(workflow, "timed", command)
    monkeypatch.setattr(workflow, "measure", a_second_each)
    monkeypatch.setattr(bench, "forecast_error", lambda *_: {"forecast": 1.0})
    call(bench, *files(tmp_path))
    found = record.read_json(tmp_path / "bench.json")
    by_images = [(n, 256, 1) for n in (10000, 20000, 30000, 45000)]
    by_width = [(10000, n, 1) for n in (64, 128, 256)]
    assert trained == [*by_images, *by_width, (1, 4), (2, 4), (3, 4)]
    assert found["seconds_to_8866"] == 7.0 and found["sprint"]["accuracy"] == 90.0
    assert all(name in found for name in NUMBERS)
    assert [one["points"] for one in found["growth"]["tsne_other"]] == [1000, 3000, 5000, 10000]
    assert speed.facts(found).keys() == speed.facts(benchmark()).keys()
    # an older record lacks what was added since
    assert all(found.keys() >= record.read_json(path).keys() for path in RECORDS)
    assert not (tmp_path / "bench.unfinished").exists()


@pytest.mark.skipif(
    not REAL, reason="LATENTS_DATA does not point at the published files, which torchvision wants to see"
)
def test_the_whole_benchmark_runs_shrunk_on_the_real_data(tmp_path: Path) -> None:
    plain = study_without_sweeps()
    plain["encoder"]["widths"], plain["decoder"]["channels"], plain["threads"] = [4, 8, 8], 4, 1
    for dataset in plain["datasets"].values():
        dataset |= {"train": 600, "validation": 100, "test": 500}
        for method in dataset["methods"].values():
            if "optimisation" in method:
                method["optimisation"] |= {"batch-size": 20, "epochs": 1}
        dataset["methods"]["autoencoder"]["channels"] = [4, 4, 4]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain))
    small = msgspec.to_builtins(committed()) | {"rounds": 1, "seconds": 0.01}
    sizes = {
        "images": [300, 600],
        "widths": [[4, 4, 4]],
        "tsne-points": [200, 400],
        "tsne-points-other": [200],
    }
    small |= {"convolutions": [[8, 8, 8, 8]], "growth": sizes}
    small["short"] = {"methods": ["random", "guided"], "epochs": 1}
    small["sprint"] |= {"seeds": [1], "changes": {"optimisation": {"epochs": 1}}, "accuracy": 1.0}
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(small))
    out = tmp_path / "bench.json"
    inputs = ("--config", tmp_path / "study.yaml", "--bench", tmp_path / "bench.yaml")
    call(bench, *inputs, "--reference", REFERENCE, "--out", out)
    found = record.read_json(out)
    assert all(found[name] > 0 for name in small["targets"])
    assert [line["method"] for line in found["throughput"]] == [*METHODS, *METHODS]
    assert speed.facts(found).keys() == speed.facts(benchmark()).keys()
    tables = [speed.table([one | {"name": "cpu"}]) for one in (found, benchmark())]
    assert tables[0].count(r"\\") == tables[1].count(r"\\")
    made = found["short"]
    assert made["taken"] > 0 and made["forecast"] > 0
    assert [made[step]["jobs"] for step in ("train", "evaluate")] == [3, 2]
    assert found["sprint"]["split"] == "val" and 0 < found["sprint"]["accuracy"] < 60
    grown = found["growth"]
    assert grown["images"][1]["images"] == 600 and grown["widths"][0]["widths"] == [4, 4, 4]
    for one in grown["tsne"] + grown["tsne_other"]:
        assert one["seconds"] > 0 and 0.5 < one["trustworthiness"] <= 1
    assert not (tmp_path / "bench.unfinished").exists()
