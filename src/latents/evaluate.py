"""Measure one trained cell: codes, probes, reconstruction, geometry, interpolation, in one process and one encoding pass.

    python -m latents.evaluate --config config/study.yaml --dataset cifar10 --run guided --seed 1 --final \
        --weights guided.safetensors --trained guided.json --judge judge.safetensors --judge-trained judge.json \
        --out record.json --codes codes.npz --sample sample.npz --pictures pictures.npz --timing timing.json

Without --final the test split is not read: what is tuned is tuned on val. Only the study's own rule sets it.
"""

import argparse
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from latents import augment, config, data, decode, geometry, interpolate, probe, record
from latents.config import JUDGE, ROWS, SHOWN, Problem, Study
from latents.device import device_of, generator, to_float
from latents.encode import BATCH, draw, encode, npz
from latents.model import Model, load_model
from latents.probe import Parts
from latents.train import timing

PATHS = 4  # interpolations kept for the figures


class Metrics:
    """The list of metrics of a record, in the order they were measured."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, metric: str, split: str, value: float | None, unit: str) -> None:
        """A value that does not exist (None) is left out; one that is not finite is a fault of the run."""
        if value is None:
            return
        if not np.isfinite(value):
            raise Problem(f"{metric} on {split} is not finite: the trained weights are broken; train the cell again at a lower learning-rate")
        self.rows.append({"metric": metric, "split": split, "value": value, "unit": unit})


class Clock:
    """Seconds of each part of the job."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part], self.last = self.parts.get(part, 0.0) + now - self.last, now


def measure_probes(study: Study, model: Model, codes: dict[str, Tensor], labels: dict[str, Tensor], metrics: Metrics) -> dict[str, Any]:
    """Accuracies of all probes; returns which of linear and MLP val names, and each probe's correctness on test."""
    outcomes = {name: getattr(probe, name)(codes, labels, study.probe) for name in ("linear", "mlp", "knn")}
    if model.head is not None:
        with torch.inference_mode():
            outcomes["head"] = probe.Outcome({name: model.head(part).argmax(1) for name, part in codes.items()}, None)
    named = max(("linear", "mlp"), key=lambda name: probe.accuracy(outcomes[name].predictions["val"], labels["val"]))
    for name, outcome in [*outcomes.items(), ("best", outcomes[named])]:
        for split, predictions in outcome.predictions.items():
            metrics.add(f"accuracy_{name}", split, probe.accuracy(predictions, labels[split]), "percent")
    correct = {
        name: base64.b64encode(probe.packed(outcome.predictions["test"] == labels["test"])).decode()
        for name, outcome in outcomes.items()
        if "test" in labels
    }
    chosen = {name: outcome.chosen for name, outcome in outcomes.items() if outcome.chosen is not None}
    return {"probe_named_by_val": named, "probe_settings_named_by_val": chosen, "correct": correct}


def measure_few_labels(study: Study, dataset: str, codes: Parts, labels: Parts, metrics: Metrics) -> dict[str, float]:
    """The linear probe and kNN on shares of the training labels; the MLP is left out, which a few hundred codes cannot train.

    Returns the settings that val chose.
    """
    settings = {}
    unseen = {name: part for name, part in codes.items() if name != "train"}
    for share in study.measurement.label_shares:
        chosen = data.labelled(labels["train"].cpu().numpy(), share, study.dataset(dataset).split_seed)
        index = torch.from_numpy(chosen).to(codes["train"].device)
        few = {"train": codes["train"][index]} | unseen
        named = labels | {"train": labels["train"][index]}
        for name in ("linear", "knn"):
            outcome, metric = getattr(probe, name)(few, named, study.probe), f"{name}_{100 * share:g}pct"
            settings |= {metric: outcome.chosen} if outcome.chosen is not None else {}
            for split in unseen:
                metrics.add(f"accuracy_{metric}", split, probe.accuracy(outcome.predictions[split], labels[split]), "percent")
    return settings


def measure_projection(study: Study, model: Model, codes: Parts, labels: Parts, metrics: Metrics) -> dict[str, float]:
    """The linear probe and kNN on the projection head's output instead of the code; returns the settings that val chose."""
    settings = {}
    with torch.inference_mode():
        projected = {name: functional.normalize(model.projector(part), dim=1) for name, part in codes.items()}
    for name in ("linear", "knn"):
        outcome, metric = getattr(probe, name)(projected, labels, study.probe), f"{name}_projection"
        settings |= {metric: outcome.chosen} if outcome.chosen is not None else {}
        for split, part in outcome.predictions.items():
            metrics.add(f"accuracy_{metric}", split, probe.accuracy(part, labels[split]), "percent")
    return settings


def measure_reconstruction(
    study: Study, decoder: Callable, codes: Parts, images: Parts, shown: str, metrics: Metrics, clock: Clock
) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the mean absolute error of each image [n] of each split, and what was drawn of the split that is shown; no other is kept whole."""
    errors, drawn = {}, []
    measures = (("mae", decode.mae, "pixel range"), ("psnr", decode.psnr, "dB"), ("ssim", decode.ssim, ""))
    for split in codes:
        found: dict[str, list[Tensor]] = {name: [] for name, _, _ in measures}
        for part, originals in zip(codes[split].split(4 * BATCH), images[split].split(4 * BATCH), strict=True):
            pictures = draw(decoder, part, study)
            clock.lap("decode")
            for name, measure, _ in measures:
                found[name].append(measure(pictures, to_float(originals)))
            if split == shown:
                drawn.append(pictures)
            clock.lap("reconstruct")
        for name, _, unit in measures:
            metrics.add(name, split, torch.cat(found[name]).double().mean().item(), unit)
        errors[split] = torch.cat(found["mae"])
    return errors, torch.cat(drawn)


def errors_of(study: Study, decoder: Callable, codes: Tensor, images: Tensor) -> Tensor:
    """The mean absolute error of each image [n]."""
    batches = zip(codes.split(4 * BATCH), images.split(4 * BATCH), strict=True)
    return torch.cat([decode.mae(draw(decoder, part, study), to_float(originals)) for part, originals in batches])


def measure_geometry(
    study: Study, model: Model, codes: dict[str, Tensor], images: dict[str, Tensor], labels: dict[str, Tensor], metrics: Metrics, clock: Clock
) -> None:
    """On val and test; codes centred on the training mean. The two views are drawn alike for every row, and of a sample of its images."""
    settings = study.measurement
    mean = codes["train"].mean(0)
    for number, split in enumerate(name for name in ("val", "test") if name in codes):
        part, classes = codes[split] - mean, labels[split]
        random = generator(part.device, settings.seed, number)
        # the published test files are sorted by source, so a part of them is drawn, not taken from the front
        order = np.random.default_rng(settings.seed).permutation(len(part))
        drawn, sample = order[: settings.silhouette_points], images[split][order[: settings.sample]]
        views = [encode(model, sample, study, lambda batch: augment.view(batch, settings.alignment, random)) - mean for _ in range(2)]  # noqa: B023
        clock.lap("encode")
        metrics.add("silhouette", split, geometry.silhouette(part[drawn], classes[drawn]), "")
        metrics.add("scatter_ratio", split, geometry.scatter_ratio(part, classes), "")
        metrics.add("knn_purity", split, geometry.knn_purity(part, classes, study.probe.knn_k), "")
        metrics.add("alignment", split, geometry.alignment(*views), "")
        metrics.add("uniformity", split, geometry.uniformity(part), "")
        metrics.add("effective_rank", split, geometry.effective_rank(part), "")
        clock.lap("geometry")


def measure_interpolation(
    study: Study, judge: Model, decoder: torch.nn.Module, codes: Tensor, images: Tensor, labels: Tensor, drawn: Tensor, metrics: Metrics, clock: Clock
) -> tuple[np.ndarray, Tensor, Tensor]:
    """On test; returns the pairs [p, 2] and the frames kept for the figures, through the codes and through the pixels."""
    pairs = np.random.default_rng(study.measurement.seed).permutation(len(codes))[: 2 * min(study.measurement.pairs, len(codes) // 2)].reshape(-1, 2)
    starts, ends = torch.from_numpy(pairs[:, 0]).to(codes.device), torch.from_numpy(pairs[:, 1]).to(codes.device)
    classes = torch.stack([labels[starts], labels[ends]], 1)

    @torch.inference_mode()
    def judged(pictures: Tensor) -> Tensor:
        clock.lap("interpolate")
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=study.precision == "bfloat16"):
            seen = torch.cat([judge.encoder(part) for part in pictures.split(BATCH)])
        clock.lap("encode")
        return judge.head(seen).argmax(1)

    points = interpolate.line(codes[starts], codes[ends])
    through_codes = draw(decoder, points.flatten(0, 1), study).unflatten(0, points.shape[:2])
    clock.lap("decode")
    through_pixels = interpolate.line(to_float(images[starts]), to_float(images[ends]))
    for frames, suffix in ((through_codes, ""), (through_pixels, "_pixels")):
        along = judged(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        changes, counted = interpolate.class_changes(along, classes)
        metrics.add(f"path_length{suffix}", "test", interpolate.path_length(frames), "ratio")
        # a mean over a handful of pairs says nothing: only its count is kept then
        metrics.add(f"class_changes{suffix}", "test", changes if counted >= study.measurement.fewest_pairs else None, "changes")
        metrics.add(f"class_changes{suffix}_pairs", "test", counted, "pairs")
    metrics.add("judge_accuracy", "test", probe.accuracy(judged(to_float(images)), labels), "percent")
    metrics.add("judge_accuracy_decoded", "test", probe.accuracy(judged(drawn), labels), "percent")
    return pairs[:PATHS], through_codes[:PATHS], through_pixels[:PATHS]


def to_uint8(images: Tensor) -> np.ndarray:
    """float [..., c, h, w] in [0, 1] -> uint8 [..., h, w, c]."""
    return (images.movedim(-3, -1) * 255).round().clamp(0, 255).byte().cpu().numpy()


def evaluate(study: Study, model: Model, judge: Model, dataset: str, run: str, *, final: bool) -> tuple[dict[str, Any], dict[str, bytes], dict[str, float]]:
    """Measure a model; returns the record's measured part, the codes, a sample of them and the pictures as npz, and the seconds of each part."""
    clock, metrics = Clock(), Metrics()
    device = device_of(study)
    model.to(device, memory_format=torch.channels_last).eval()
    judge.to(device, memory_format=torch.channels_last).eval()
    split = data.load(study, dataset, with_test=final)
    parts = {"train": split.train, "val": split.val} | ({"test": split.test} if final else {})
    images = {name: torch.from_numpy(part.images).to(device) for name, part in parts.items()}
    labels = {name: torch.from_numpy(part.labels).to(device) for name, part in parts.items()}
    clock.lap("load")

    codes = {name: encode(model, part, study) for name, part in images.items()}
    clock.lap("encode")
    facts = measure_probes(study, model, codes, labels, metrics)
    if run in ROWS:
        facts["probe_settings_named_by_val"] |= measure_few_labels(study, dataset, codes, labels, metrics)
        if model.projector is not None:
            facts["probe_settings_named_by_val"] |= measure_projection(study, model, codes, labels, metrics)
    clock.lap("probe")
    # every row is drawn by one kind of decoder, trained on the frozen codes; where it has no other, this is its own
    frozen = decode.train_decoder(study, dataset, codes["train"], images["train"]) if run in ROWS or not model.decodes else None
    decoder = model.decode if model.decodes else frozen
    clock.lap("train decoder")
    shown = "test" if final else "val"  # without --final the pictures are of val, and nothing is interpolated
    errors, drawn = measure_reconstruction(study, decoder, codes, images, shown, metrics, clock)
    kept = {"errors": errors}
    if run in ROWS:
        kept["errors_frozen"] = errors if decoder is frozen else {name: errors_of(study, frozen, part, images[name]) for name, part in codes.items()}
        for name, part in kept["errors_frozen"].items():
            metrics.add("mae_frozen", name, part.double().mean().item(), "pixel range")
        clock.lap("reconstruct")
    measure_geometry(study, model, codes, images, labels, metrics, clock)
    chosen = np.random.default_rng(study.measurement.seed).choice(len(codes[shown]), SHOWN, replace=False)
    pictures = {
        "originals": to_uint8(to_float(images[shown][chosen])), "reconstructions": to_uint8(drawn[chosen]),
        "indices": parts[shown].indices[chosen], "labels": parts[shown].labels[chosen],
    }  # fmt: skip
    if final:
        facts |= {name: base64.b64encode(found["test"].half().cpu().numpy().tobytes()).decode() for name, found in kept.items()}
        ends, path_codes, path_pixels = measure_interpolation(
            study, judge, decoder, codes["test"], images["test"], labels["test"], drawn, metrics, clock
        )
        pictures |= {"path_ends": split.test.indices[ends], "path_codes": to_uint8(path_codes), "path_pixels": to_uint8(path_pixels)}
    clock.lap("interpolate")

    arrays = {name: part.cpu().numpy() for name, part in codes.items()}
    for name, part in parts.items():
        arrays |= {f"labels_{name}": part.labels, f"indices_{name}": part.indices}
    # what rows and seeds are compared by: few codes of the same images in half precision, light enough to be kept
    sampled = np.sort(np.random.default_rng(study.measurement.seed).permutation(len(codes[shown]))[: study.measurement.sample])
    sample = {"codes": arrays[shown][sampled].astype(np.float16), "indices": parts[shown].indices[sampled]}
    files = {"codes": npz(**arrays), "sample": npz(**sample), "pictures": npz(**pictures)}
    clock.lap("write")
    facts |= {"metrics": metrics.rows, "test_read": final} | {f"{name}_sha256": record.sha256(content) for name, content in files.items()}
    return facts, files, clock.parts


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "dataset", "run", "weights", "trained", "judge", "judge-trained", "out", "codes", "sample", "pictures", "timing"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--final", action="store_true", help="read the test split; set by the study's own rule alone")
    options = parser.parse_args()
    study = config.read(options.config)
    trained = record.read_json(options.trained)
    model, training = load_model(options.weights, study)
    if (training["dataset"], training["run"], training["seed"]) != (options.dataset, options.run, options.seed):
        raise Problem(f"{options.weights}: holds {training['dataset']}/{training['run']}/seed{training['seed']}, not the cell asked for; give its own file")
    for weights, made in ((options.weights, trained), (options.judge, record.read_json(options.judge_trained))):
        if made.get("weights_sha256") != record.sha256(Path(weights)):
            raise Problem(f"{weights}: not the weights that its training's record describes; delete both and run again")
    judge, judging = load_model(options.judge, study)
    if (judging["dataset"], judging["run"]) != (options.dataset, JUDGE):
        raise Problem(f"{options.judge}: holds {judging['dataset']}/{judging['run']}, not the judge of {options.dataset}; give the judge's own file")
    facts, files, parts = evaluate(study, model, judge, options.dataset, options.run, final=options.final)
    facts["metrics"] += [
        {"metric": name, "split": "-", "value": trained[name], "unit": unit} for name, unit in (("parameters", ""), ("train_flops", "FLOP"))
    ]
    for name, content in files.items():
        record.write_bytes(getattr(options, name), content)
    record.write_json(options.timing, timing(parts))
    measuring = study.measuring(options.dataset, options.run, options.seed)
    header = record.header(measuring)
    # where training and measuring were not done by the same source, versions or processor, the record shows both
    facts |= {"trained_by": {key: trained[key] for key in ("source_sha256", "versions", "processor")}}
    record.write_json(options.out, trained | header | facts | {"judge_sha256": record.sha256(Path(options.judge))})


if __name__ == "__main__":
    main()
