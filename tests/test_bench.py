"""The benchmark: both loops compute the same, the ordinary one draws the same kinds of views, and the sums are right."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from made_up import benchmark, call
from msgspec.structs import replace
from openTSNE import TSNE
from PIL import Image
from sklearn import manifold
from tiny import Cells
from torch import Tensor
from torch.utils.data import Sampler
from torch.utils.flop_counter import FlopCounterMode

from latents import augment, config, data, record, train
from latents.bench import __main__ as bench
from latents.bench import loops, ordinary, workflow
from latents.device import generator
from latents.loop import fit, rate_at
from latents.report import speed
from latents.report.bars import Bar
from latents.report.figures import speed as drawing
from latents.settings import Augmentation

METHODS = bench.METHODS
REAL = os.environ.get("LATENTS_DATA")


def still(cells: Cells, dataset: str) -> config.Study:
    """The tiny study with every augmentation and corruption off."""
    chosen = cells.study.datasets[dataset]
    methods = {}
    for name in ("autoencoder_plus", "guided", "contrastive"):
        off = {key: Augmentation() for key in ("augmentation", "corruption") if hasattr(getattr(chosen.methods, name), key)}
        one = getattr(chosen.methods, name)
        methods[name] = replace(one, **off)
    # 128 components rebuild 60 images exactly: from that start the gradient of L1 would be the sign of rounding
    methods["autoencoder_plus"] = replace(methods["autoencoder_plus"], linear_path=False)
    return replace(cells.study, datasets={dataset: replace(chosen, methods=replace(chosen.methods, **methods))})


class Given(Sampler):
    """The order of an epoch, given."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def __iter__(self):  # noqa: ANN204
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


@pytest.mark.parametrize("method", METHODS)
def test_with_augmentation_off_both_loops_reach_the_same_loss_from_the_same_start(cells: Cells, method: str) -> None:
    study, device = still(cells, "mnist"), torch.device("cpu")
    settings = study.method("mnist", method)
    once, rate = replace(settings.optimisation, epochs=1), getattr(settings, "linear_rate", 1.0)
    ours, split, loss, its_validate = train.prepare(study, "mnist", method, 1, device)
    items = len(split.train.labels)
    curve, _ = fit(loss, its_validate, ours, once, items, 1, device, name="ours", linear_rate=rate)

    theirs, _, _, validate = train.prepare(study, "mnist", method, 1, device)
    theirs.to(memory_format=torch.contiguous_format)
    order = Given(torch.randperm(items, generator=generator(device, 1, 0)).tolist())
    images = ordinary.published(cells.folder / "data", "mnist", ordinary.Views(settings, "mnist"))
    loader = ordinary.batches(images, split.train.indices.tolist(), once.batch_size, 0, order)
    steps = items // once.batch_size
    stream = ordinary.steps(theirs, settings, loader, lambda step: rate_at(step, steps, once))
    losses = [next(stream) for _ in range(steps)]
    assert np.mean(losses) == pytest.approx(curve[0][2], rel=1e-4)
    assert losses[-1] != pytest.approx(losses[0], rel=5e-3)  # the steps have moved the model by then
    theirs.eval()
    with torch.inference_mode():
        assert validate(generator(device, 1, 0, 1)) == pytest.approx(curve[0][3], rel=0.02)  # AdamW turns rounding into steps where a gradient is none


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_changes_the_loss_by_no_more_than_its_rounding(cells: Cells, method: str) -> None:
    index, losses = torch.arange(20), {}
    for precision in ("float32", "bfloat16"):
        _, _, loss, _ = train.prepare(replace(cells.study, precision=precision), "mnist", method, 1, torch.device("cpu"))
        losses[precision] = loss(index, generator(torch.device("cpu"), 1)).item()
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=2**-6)


@pytest.mark.parametrize(
    "setting",
    [{"pad_crop": 2}, {"resized_crop": (0.3, 0.9)}, {"flip": True}, {"rotate": 20.0}, {"rotate": 20.0, "pad_crop": 2}, {"brightness": 0.5},
     {"contrast": 0.5}, {"saturation": 0.5}, {"hue": 0.2}, {"grayscale": 1.0}, {"noise": 0.1}],
    ids=str,
)  # fmt: skip
def test_every_augmentation_has_its_counterpart_in_the_ordinary_loop(cells: Cells, setting: dict) -> None:
    guided = replace(cells.study.method("cifar10", "guided"), augmentation=Augmentation(**setting))
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    torch.manual_seed(1)
    theirs = torch.stack([ordinary.Views(guided, "cifar10")(Image.fromarray(pixels)) for _ in range(200)])
    assert theirs.shape == (200, 3, 32, 32) and theirs.dtype == torch.float32 and theirs.min() >= 0 and theirs.max() <= 1
    images = torch.from_numpy(pixels).permute(2, 0, 1).div(255).expand(200, -1, -1, -1)
    ours = augment.view(images, guided.augmentation, generator(torch.device("cpu"), 1))
    changes = [(views - images).abs().mean().item() for views in (theirs, ours)]
    assert changes[0] > 0.01 and changes[0] == pytest.approx(changes[1], rel=0.25)  # the same amplitude, from other draws


def test_a_contrastive_item_is_two_views_of_one_image_and_a_corrupted_item_knows_its_target(cells: Cells) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8))
    torch.manual_seed(1)
    one, other = ordinary.Views(cells.study.method("cifar10", "contrastive"), "cifar10")(image)
    assert one.shape == other.shape == (3, 32, 32) and not torch.equal(one, other)
    plus = replace(cells.study.method("cifar10", "autoencoder-plus"), augmentation=Augmentation(), corruption=Augmentation(noise=0.1))
    items = [ordinary.Views(replace(plus, clean_fraction=share), "cifar10")(image) for share in (0.0, 1.0)]
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


def test_slower_views_lengthen_the_data_of_a_step_and_no_other_part(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    before, view, slept = loops.parts(str(cells.config), "mnist", "guided", 0.01), augment.view, 0.4

    def slow(*arguments: Any) -> Tensor:
        time.sleep(slept)
        return view(*arguments)

    monkeypatch.setattr(augment, "view", slow)
    after = loops.parts(str(cells.config), "mnist", "guided", 0.01)
    grown = {part: after[part] - before[part] for part in after}
    assert after["data"] >= slept and grown["data"] > slept / 2 and grown["step"] > slept / 2
    assert all(grown[part] < slept / 2 for part in ("forward", "backward", "optimizer")), grown


def test_our_loop_is_timed_in_both_memory_formats(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, loss_of = [], train.loss_of

    def watched(model: Any, settings: Any, images: Tensor, *others: Tensor) -> Tensor:
        seen.append(images)
        return loss_of(model, settings, images, *others)

    monkeypatch.setattr(train, "loss_of", watched)
    for channels_last in (False, True, False):
        seen.clear()
        assert loops.ours(str(cells.config), "cifar10", "guided", 0.01, channels_last=channels_last) > 0
        weight = loops.kept(str(cells.config), "cifar10", "guided")[0].model.encoder.blocks[1][0].weight
        for one in (weight, *seen):
            assert one.is_contiguous(memory_format=torch.channels_last) == channels_last and one.is_contiguous() != channels_last
        assert len(seen) > loops.FEWEST and seen[0].dtype == torch.float32 and seen[0].max() <= 1


def test_our_loop_is_timed_with_the_studys_own_conversion_of_images(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, to_float = [], train.to_float
    monkeypatch.setattr(train, "to_float", lambda images: asked.append(len(images)) or to_float(images))
    loops.ours(str(cells.config), "cifar10", "guided", 0.01)
    assert len(asked) > loops.FEWEST


def test_the_memory_told_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    np.ones(2**27)  # a GiB
    with bench.Worker() as one:
        assert 0.05 < one(loops.peak_gib) < loops.peak_gib() - 0.5


def test_both_tsne_libraries_make_as_many_iterations_and_few_points_are_judged(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, other = {}, manifold.TSNE
    monkeypatch.setattr(manifold, "TSNE", lambda **settings: asked.update(settings) or other(**settings))
    found = [loops.tsne(str(cells.config), 100, other=one) for one in (False, True)]
    assert asked["max_iter"] == TSNE().early_exaggeration_iter + TSNE().n_iter
    assert all(one["seconds"] > 0 and one["gib"] > 0 and 0.6 < one["trustworthiness"] <= 1 for one in found)
    monkeypatch.setattr(loops, "MOST_JUDGED", 99)
    assert loops.tsne(str(cells.config), 100, other=True).keys() == {"seconds", "gib"}


def test_contenders_take_turns_both_ways_and_a_ratio_is_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(worker: bench.Worker, function: Any, path: str, dataset: str, method: str, seconds: float, *workers: int, **layout: bool) -> float:
        """Made-up speeds: the ordinary loop's without workers and all of ours are of the round, other ordinary ones 1."""
        asked.append((worker.tuned, function, path, workers, layout))
        number = (len(asked) - 1) // (7 * len(METHODS))
        return (100.0, 200.0, 300.0)[number] if workers == (0,) else 1.0 if workers else (400.0, 300.0, 900.0)[number]

    monkeypatch.setattr(bench.Worker, "__call__", answer)
    settings = config.parse(record.ROOT / "config/bench.yaml", bench.Bench)
    lines = bench.throughput(replace(settings, rounds=3), {"float32": "float32", "changes": "changes"}, ["mnist"])
    first, second, third = (asked[start : start + 7] for start in range(0, len(asked), 7 * len(METHODS)))
    assert second == first[::-1] and third == first and len(first) == 7
    for line in lines:
        assert line["best_ordinary"] == "ordinary, 0 workers" and line["images_per_second"]["ours"]["rounds"] == [400.0, 300.0, 900.0]
        assert line["over_ordinary"] == dict.fromkeys(("in memory", "channels last", "allocator", "ours"), 3.0)  # of 4, 1.5 and 3


def test_a_steps_share_of_the_peak_is_of_the_same_round_and_the_fastest_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, settings = [], config.parse(record.ROOT / "config/bench.yaml", bench.Bench)
    turns = len(settings.convolutions) + len(METHODS)

    def answer(_: object, function: Any, __: str, what: Any, *___: object) -> Any:
        number = len(asked) // turns
        asked.append(what)
        if function is loops.convolution:
            return (100.0, 400.0, 200.0)[number] if what == settings.convolutions[1] else 50.0
        return {"data": 0.5, "forward": 1.0, "backward": 2.0, "optimizer": 0.5, "step": (4.0, 2.0, 1.0)[number], "validation": 1.0, "flops": 80}

    monkeypatch.setattr(bench.Worker, "__call__", answer)
    found = bench.peak(replace(settings, rounds=3), "changes")
    assert asked[turns : 2 * turns] == asked[2 * turns :][::-1] and asked[:turns] == asked[2 * turns :]
    assert found["fastest"] == 200.0 and list(found["methods"]) == list(METHODS)
    for one in found["methods"].values():
        assert one["conv_peak_share"] == pytest.approx(0.2)  # of 0.2, 0.1 and 0.4
        assert one["step"] == 2.0 and one["shares"] == {"data": 0.25, "forward": 0.5, "backward": 1.0, "optimizer": 0.25}


def test_a_process_of_the_benchmark_has_the_allocators_settings_or_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    seen = {}
    for tuned in (True, False):
        with bench.Worker(tuned=tuned) as one:
            seen[tuned] = [one(os.getenv, name) for name in config.ALLOCATOR]
    assert seen == {True: list(config.ALLOCATOR.values()), False: [None] * len(config.ALLOCATOR)}
    assert os.environ["MALLOC_MMAP_MAX_"] == "7"


def test_a_number_that_was_not_reached_falls_short() -> None:
    told = bench.report({"a": 3.5, "b": None}, {"a": Bar(at_least=3.0), "b": Bar(at_most=6.0)}).splitlines()
    assert told[0].endswith("holds") and told[1].endswith("FALLS SHORT") and "not reached" in told[1]


def test_every_bar_is_a_number_at_the_top_of_the_committed_record() -> None:
    settings = config.parse(record.ROOT / "config/bench.yaml", bench.Bench)
    kept = record.read_json(record.ROOT / "reference/bench.json")
    assert settings.bars.keys() <= kept.keys()
    assert all(isinstance(kept[name], float) for name in settings.bars if kept[name] is not None)
    assert kept["sprint"]["split"] == "test" and kept["bench"]["rounds"] >= 5  # a final benchmark, not a shrunk one


def test_the_committed_benchmark_was_run_on_the_committed_study() -> None:
    kept = record.read_json(record.ROOT / "reference/bench.json")
    parts = workflow.overhead(record.ROOT / "reference", {name: one["median"] for name, one in kept["workflow"].items()})
    assert kept["overhead"] == pytest.approx(parts) and kept["overhead_share"] == pytest.approx(workflow.overhead_share(parts))
    assert kept["peak_gib"] == pytest.approx(workflow.peak_gib(record.ROOT / "reference"))


def test_the_paper_rounds_the_peak_of_the_memory_up_and_names_the_last_lever_by_the_precision(tmp_path: Path) -> None:
    assert [speed.facts(benchmark() | {"peak_gib": gib})["memory"] for gib in (4.2, 4.21, 4.29)] == ["4.2", "4.3", "4.3"]
    record.write_json(tmp_path / "bench.json", benchmark() | {"precision": "float32"})
    levers = drawing.draw(config.read(record.ROOT / "config/study.yaml"), tmp_path).axes[0]
    assert [label.get_text() for label in levers.get_xticklabels()] == ["ordinary", "in memory", "channels last", "malloc", "float32"]


def test_the_overhead_is_all_that_is_not_the_study_itself(tmp_path: Path) -> None:
    jobs = {"train": {"training": 60.0, "preparing": 5.0}, "evaluate": {"encode": 10.0, "probe": 20.0, "train decoder": 5.0, "decode": 5.0, "load": 5.0}}
    for step, parts in jobs.items():
        record.write_json(tmp_path / f"timing/mnist/pca/seed1.{step}.json", {"format": record.FORMAT, "seconds": sum(parts.values()), "parts": parts})
    seconds = {"start": 2.0, "noop": 1.0, "figure": 2.0, "paper": 15.0}
    with pytest.raises(config.Problem, match="no job has the part 't-SNE'"):
        workflow.overhead(tmp_path, seconds)
    record.write_json(tmp_path / "timing/mnist/tsne.json", {"format": record.FORMAT, "seconds": 30.0})
    found = workflow.overhead(tmp_path, seconds)
    assert found == jobs["train"] | jobs["evaluate"] | {"t-SNE": 30.0, "process starts": 12.0, "workflow": 18.0}
    assert workflow.overhead_share(found) == pytest.approx((5 + 5 + 12 + 18) / 170)


def test_the_flops_of_a_convolution_are_those_that_torch_counts() -> None:
    x, weight = torch.randn(3, 4, 6, 6, requires_grad=True), torch.randn(5, 4, 3, 3, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.conv2d(x, weight, padding=1).sum().backward()
    assert loops.flops_of_convolution((4, 5, 6, 3)) == counter.get_total_flops()


def test_an_unknown_key_or_bar_of_the_benchmark_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text((record.ROOT / "config/bench.yaml").read_text() + "\nround: 3\n")
    files = ["--config", record.ROOT / "config/study.yaml", "--bench", path, "--reference", tmp_path, "--out", tmp_path / "out.json"]
    with pytest.raises(SystemExit, match=r"bench\.yaml: Object contains unknown field `round`"):
        call(bench, *files)
    settings = yaml.safe_load((record.ROOT / "config/bench.yaml").read_text())
    for bars, message in (({"speed": {"at-least": 1.0}}, "bars: speed is no number"), ({"peak_gib": {}}, "a bar is at-least or at-most")):
        path.write_text(yaml.safe_dump(settings | {"bars": bars}))
        with pytest.raises(SystemExit, match=message):
            call(bench, *files)


def files(folder: Path, reference: Path = record.ROOT / "reference", study: dict | None = None, **changes: Any) -> list[object]:
    """The benchmark's arguments: config/bench.yaml with `changes` put over it, and the study of config/ with those of `study`."""
    plain = yaml.safe_load((record.ROOT / "config/study.yaml").read_text())
    del plain["sweeps"]
    (folder / "study.yaml").write_text(yaml.safe_dump(plain | (study or {})))
    (folder / "bench.yaml").write_text(yaml.safe_dump(config.merge(yaml.safe_load((record.ROOT / "config/bench.yaml").read_text()), changes)))
    return ["--config", folder / "study.yaml", "--bench", folder / "bench.yaml", "--reference", reference, "--out", folder / "bench.json"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sprint": {"changes": {"optimisation": {"epoch": 4}}}}, r"bench\.yaml: sprint: Object contains unknown field `epoch`"),
        ({"sprint": {"seeds": [1, 1]}}, r"bench\.yaml: sprint: datasets\.cifar10\.seeds: \[1, 1\] names a seed twice"),
        ({"sprint": {"changes": {"optimisation": None}}}, r"bench\.yaml: changes has no optimisation\.epochs.* at `\$\.sprint`"),
        ({"changes": {"encoder": {"width": 8}}}, r"bench\.yaml: changes: Object contains unknown field `width`"),
        ({"changes": {"datasets": {"cifar10": {"seeds": [7001]}}}}, r"bench\.yaml: changes: datasets\.cifar10\.split-seed: 7001 is a training seed too"),
        ({"growth": {"images": []}}, r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.growth\.images`"),
        ({"growth": {"widths": []}}, r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.growth\.widths`"),
        ({"growth": {"tsne-points-other": [7]}}, r"bench\.yaml: tsne-points and tsne-points-other have no number in common.* at `\$\.growth`"),
        ({"convolutions": []}, r"bench\.yaml: Expected `array` of length >= 1 - at `\$\.convolutions`"),
        ({"study": {"source": "stand-in"}}, r"study\.yaml: source: stand-in data are not what the benchmark is of"),
        ({"study": {"datasets": {}}}, r"study\.yaml: datasets: cifar10 is missing"),
        ({"reference": Path("nowhere")}, r"nowhere: no such folder; --reference names"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_before_anything_is(changes: dict, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "measure", lambda *_: pytest.fail("it measures"))
    with pytest.raises(SystemExit, match=sentence):
        call(bench, *files(tmp_path, **changes))
    assert not (tmp_path / "bench.unfinished.json").exists()


def test_the_largest_sets_of_images_are_there_and_what_was_found_before_a_failure_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def broken(*_: object) -> None:
        raise RuntimeError("the machine failed")

    monkeypatch.setattr(data, "load", lambda study, dataset, *, with_test: loaded.append((dataset, study.datasets[dataset].train, with_test)))
    monkeypatch.setattr(workflow, "measure", lambda rounds, _: {name: [1.0] * rounds for name in ("figure", "paper", "noop", "start")})
    monkeypatch.setattr(bench, "throughput", broken)
    arguments = files(tmp_path, growth={"images": [10000, 44000, 20000]})
    with pytest.raises(RuntimeError, match="the machine failed"):
        call(bench, *arguments)
    assert sorted(loaded) == [("cifar10", 44000, False), ("mnist", 55000, False)]
    found = record.read_json(tmp_path / "bench.unfinished.json")
    assert found["workflow"]["noop"]["median"] == 1.0 and found["overhead"]["training"] > 0 and not (tmp_path / "bench.json").exists()
    with pytest.raises(SystemExit, match=r"study\.yaml/bench\.unfinished\.json: cannot be written"):
        call(bench, *arguments[:-1], tmp_path / "study.yaml/bench.json")


def test_the_record_is_whole_and_every_part_gets_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, timed = [], {"seconds": 2.0, "gib": 1.0}
    step = {"data": 0.1, "forward": 0.3, "backward": 0.5, "optimizer": 0.1, "step": 1.0, "validation": 0.2, "flops": 3}

    def answer(_: bench.Worker, function: Any, path: str, *__: object, **___: object) -> Any:
        study = config.read(path)
        if function is loops.epoch:
            cifar10 = study.datasets["cifar10"]
            trained.append((cifar10.train, study.encoder.widths[-1], cifar10.methods.guided.optimisation.epochs))
        return {"parts": step, "epoch": timed, "tsne": timed, "head_accuracy": 90.0}.get(function.__name__, 5.0)

    def command(*words: str, **_: object) -> float:
        study = config.read(words[words.index("--config") + 1])
        trained.append((int(words[words.index("--seed") + 1]), study.method("cifar10", "guided").optimisation.epochs))
        record.write_json(words[words.index("--timing") + 1], train.timing({"training": 1.0}))
        return 7.0

    monkeypatch.setattr(data, "load", lambda *_, **__: None)
    monkeypatch.setattr(bench.Worker, "__call__", answer)
    monkeypatch.setattr(workflow, "timed", command)
    monkeypatch.setattr(workflow, "measure", lambda rounds, _: {name: [1.0] * rounds for name in ("figure", "paper", "noop", "start")})
    call(bench, *files(tmp_path))
    found = record.read_json(tmp_path / "bench.json")
    assert trained == [*((n, 256, 1) for n in (10000, 20000, 30000, 45000)), *((10000, n, 1) for n in (64, 128, 256)), (1, 4), (2, 4), (3, 4)]
    assert found["seconds_to_8866"] == 7.0 and found["sprint"]["accuracy"] == 90.0 and all(name in found for name in bench.NUMBERS)
    assert [one["points"] for one in found["growth"]["tsne_other"]] == [1000, 3000, 5000, 10000]
    assert speed.facts(found).keys() == speed.facts(benchmark()).keys()
    assert found.keys() == record.read_json(record.ROOT / "reference/bench.json").keys()
    assert not (tmp_path / "bench.unfinished.json").exists()


@pytest.mark.skipif(not REAL, reason="LATENTS_DATA does not point at the published files, which torchvision wants to see")
def test_the_whole_benchmark_runs_shrunk_on_the_real_data(tmp_path: Path) -> None:
    plain = yaml.safe_load((record.ROOT / "config/study.yaml").read_text())
    del plain["sweeps"]
    plain["encoder"]["widths"], plain["decoder"]["channels"], plain["threads"] = [4, 8, 8], 4, 1
    for dataset in plain["datasets"].values():
        dataset |= {"train": 600, "validation": 100}
        for method in dataset["methods"].values():
            method["optimisation"] |= {"batch-size": 20, "epochs": 1}
        dataset["methods"]["autoencoder"]["channels"] = [4, 4, 4]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain))
    small = msgspec.to_builtins(config.parse(record.ROOT / "config/bench.yaml", bench.Bench)) | {"rounds": 1, "seconds": 0.01}
    small |= {"convolutions": [[8, 8, 8, 8]], "growth": {"images": [300, 600], "widths": [[4, 4, 4]], "tsne-points": [200, 400], "tsne-points-other": [200]}}
    small["sprint"] |= {"seeds": [1], "changes": {"optimisation": {"epochs": 1}}, "accuracy": 1.0}
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(small))
    out = tmp_path / "bench.json"
    call(bench, "--config", tmp_path / "study.yaml", "--bench", tmp_path / "bench.yaml", "--reference", record.ROOT / "reference", "--out", out)
    found = record.read_json(out)
    assert all(found[name] > 0 for name in small["bars"])
    assert [line["method"] for line in found["throughput"]] == [*METHODS, *METHODS]
    assert speed.facts(found).keys() == speed.facts(benchmark()).keys()
    assert speed.table(found).count(r"\\") == speed.table(benchmark()).count(r"\\")
    assert found["sprint"]["split"] == "val" and 0 < found["sprint"]["accuracy"] < 60
    assert found["growth"]["images"][1]["images"] == 600 and found["growth"]["widths"][0]["widths"] == [4, 4, 4]
    assert all(one["seconds"] > 0 and 0.5 < one["trustworthiness"] <= 1 for one in found["growth"]["tsne"] + found["growth"]["tsne_other"])
    assert not (tmp_path / "bench.unfinished.json").exists()
