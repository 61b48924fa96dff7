"""Measure one trained run: codes, probes, reconstruction, geometry, interpolation.

    python -m latents.evaluate --config config/study.yaml --dataset cifar10 --method guided --seed 1 --final \
        --weights guided.safetensors --trained guided.json \
        --classifier classifier.safetensors --classifier-trained classifier.json \
        --out record.json --codes codes.npz --sample sample.npz --pictures pictures.npz --timing timing.json

writes the record, all codes, a sample of them, pictures for the figures, and the timing. All measurements
share one process and one encoding pass. Without --final the test split is not read, so that tuning is done on
val; only the study's own rule sets it.
"""

import base64
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from latents import cli, config, record
from latents.bits import measure_bits
from latents.budgets import measure_decoder_budgets
from latents.cli import Problem
from latents.decode import decode
from latents.device import generator, to_float
from latents.encode import npz
from latents.features import captured, measure_features
from latents.measure import (
    PATHS,
    measure_few_labels,
    measure_geometry,
    measure_interpolation,
    measure_probes,
    measure_projection,
    measure_reconstruction,
    to_uint8,
)
from latents.model import Model, load_run
from latents.networks import Encoder
from latents.nuisance import measure_nuisance
from latents.study import Run, Study
from latents.subject import Measured, Subject, subject_of
from latents.train import timing

SAMPLES = 36  # images drawn from the prior of a method that has one


def evaluate(
    study: Study, run: Run, model: Model, classifier: Model, *, final: bool
) -> tuple[dict[str, Any], dict[str, bytes], dict[str, float]]:
    """Measure a model.

    Returns the measured part of the record, the content of each other file, and the seconds of each part.
    """
    found = Measured()
    probed = study.measurement.features_share and study.is_first(run) and isinstance(model.encoder, Encoder)
    with captured(model.encoder) if probed else nullcontext([]) as features:
        subject = subject_of(study, run, model, found, final=final)
    # without --final the pictures are of val, and nothing is interpolated
    shown = "test" if final else "val"
    facts, outcomes = measure_probes(subject, found)
    if run.variant == "main":
        chosen = measure_few_labels(subject, found) | measure_projection(subject, found)
        chosen |= measure_features(subject, features, found) if probed else {}
        facts["probe_settings_chosen_on_val"] |= chosen
    found.lap("probe")
    decoder, errors, decoded = measure_reconstruction(subject, shown, found)
    measure_decoder_budgets(subject, found)
    measure_geometry(subject, found)
    if run.variant == "main" and study.measurement.nuisance_copies:
        measure_nuisance(subject, found)
    if study.is_first(run) and (study.measurement.bits or study.measurement.noise):
        measure_bits(subject, outcomes, decoder, found)
    pictures = shown_pictures(subject, shown, decoded)
    if model.has_prior:
        pictures["samples"] = prior_samples(subject)
    if study.is_first(run) and study.measurement.neighbours:
        pictures |= neighbour_pictures(subject, shown)
        found.lap("geometry")
    if final:
        facts |= {name: halves(each["test"]) for name, each in errors.items()}
    if final and run.variant == "main":  # nothing shows those of a variant
        paths = measure_interpolation(subject, classifier, decoder, decoded, found)
        pictures |= {
            "path_ends": subject.split.test.indices[paths.pairs[:PATHS]],
            "path_codes": to_uint8(paths.codes[:PATHS]),
            "path_arcs": to_uint8(paths.arcs[:1]),
            "path_pixels": to_uint8(paths.pixels[:PATHS]),
        }
    found.lap("interpolate")
    codes, sample = code_arrays(subject, shown)
    files = {"codes": npz(compressed=False, **codes), "sample": npz(**sample), "pictures": npz(**pictures)}
    found.lap("write")
    facts |= {"metrics": found.metrics, "test_read": final}
    facts |= {f"{name}_sha256": record.sha256(content) for name, content in files.items()}
    return facts, files, found.seconds


def halves(values: torch.Tensor) -> str:
    """Numbers in half precision, as base64 text for a record."""
    return base64.b64encode(values.half().cpu().numpy().tobytes()).decode()


def shown_pictures(subject: Subject, shown: str, decoded: torch.Tensor) -> dict[str, np.ndarray]:
    """A random image of each class for the figures, and its reconstruction.

    Images are uint8 [classes, h, w, c]; `indices` and `labels` are [classes].
    """
    part, chosen = subject.parts[shown], one_of_each_class(subject, shown)
    return {
        "originals": to_uint8(to_float(subject.images[shown][chosen])),
        "reconstructions": to_uint8(decoded[chosen]),
        "indices": part.indices[chosen],
        "labels": part.labels[chosen],
    }


def one_of_each_class(subject: Subject, shown: str) -> np.ndarray:
    """Positions [classes] in a split of an image of each class, drawn once, the same for every method."""
    labels = subject.parts[shown].labels
    order = np.random.default_rng(subject.study.measurement.seed).permutation(len(labels))
    return order[np.unique(labels[order], return_index=True)[1]]


def prior_samples(subject: Subject) -> np.ndarray:
    """Decoded standard normal codes, uint8 [SAMPLES, h, w, c]."""
    codes, settings = subject.codes["train"], subject.study.measurement
    random = generator(codes.device, settings.seed)
    drawn = torch.randn(SAMPLES, codes.shape[1], generator=random, device=codes.device)
    return to_uint8(decode(subject.model.decode, drawn, subject.precision))


def neighbour_pictures(subject: Subject, shown: str) -> dict[str, np.ndarray]:
    """An image of each class, drawn once, and its nearest by the cosine of centred codes in the same split.

    `queries` uint8 [classes, h, w, c], `neighbours` uint8 [classes, k, h, w, c], with the labels and indices
    of both, and `similarities` float32 [classes, k] in descending order.
    """
    settings, part = subject.study.measurement, subject.parts[shown]
    queries = one_of_each_class(subject, shown)
    unit = functional.normalize(subject.codes[shown] - subject.codes["train"].mean(0), dim=1)
    similarity = unit[queries] @ unit.T
    similarity[range(len(queries)), queries] = -torch.inf  # none is its own neighbour
    similarities, nearest = (each.cpu().numpy() for each in similarity.topk(settings.neighbours, dim=1))
    found: dict[str, np.ndarray] = {"similarities": similarities}
    for name, chosen in (("query", queries), ("neighbour", nearest)):
        found["queries" if name == "query" else "neighbours"] = np.moveaxis(part.images[chosen], -3, -1)
        found |= {f"{name}_labels": part.labels[chosen], f"{name}_indices": part.indices[chosen]}
    return found


def code_arrays(subject: Subject, shown: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All codes with labels and indices, and a sample of them in half precision, for comparing runs."""
    settings = subject.study.measurement
    arrays = {name: part.cpu().numpy() for name, part in subject.codes.items()}
    codes = dict(arrays)
    for name, part in subject.parts.items():
        codes |= {f"labels_{name}": part.labels, f"indices_{name}": part.indices}
    order = np.random.default_rng(settings.seed).permutation(len(arrays[shown]))
    sampled = np.sort(order[: settings.sample])
    sample = {
        "codes": arrays[shown][sampled].astype(np.float16),
        "indices": subject.parts[shown].indices[sampled],
    }
    return codes, sample


def checked_models(study: Study, options: Namespace, run: Run) -> tuple[Model, Model, dict[str, Any]]:
    """The run's model, the reference classifier, and the record of the run's training.

    Raises Problem if a file belongs to another run, was made with other settings, or does not match the
    record of its training.
    """
    trained = record.read_json(options.trained)
    made = ((options.weights, trained), (options.classifier, record.read_json(options.classifier_trained)))
    models = []
    for (weights, one), wanted in zip(made, (run, study.reference_classifiers()[run.dataset]), strict=True):
        model = load_run(weights, study, wanted)
        if one.get("weights_sha256") != record.sha256(Path(weights)):
            raise Problem(
                f"{weights}: not the weights that its training's record describes; restore both from one "
                "training, or move both away and run again, then it will be trained again"
            )
        models.append(model)
    return *models, trained


@cli.command
def main() -> None:
    inputs = ("config", "dataset", "method", "seed", "weights", "trained", "classifier", "classifier-trained")
    parser = cli.parser(__doc__, *inputs, "out", "codes", "sample", "pictures", "timing")
    parser.add_argument(
        "--final", action="store_true", help="read the test split; set by the study's own rule alone"
    )
    parser.add_argument("--machine", type=Path, help="the file of latents.machine; for precision: auto")
    options = parser.parse_args()
    study = config.settled(config.read(options.config), options.machine)
    run = Run(options.dataset, options.method, options.seed)
    model, classifier, trained = checked_models(study, options, run)
    facts, files, seconds = evaluate(study, run, model, classifier, final=options.final)
    facts["metrics"] += [
        {"metric": name, "split": "-", "value": trained[name], "unit": unit}
        for name, unit in (("parameters", ""), ("train_flops", "FLOP"))
    ]
    for name, content in files.items():
        record.write_bytes(getattr(options, name), content)
    record.write_json(options.timing, timing(seconds))
    # the record shows both where training and measuring differ in source, versions or processor
    facts["trained_by"] = {key: trained[key] for key in ("source_sha256", "versions", "processor")}
    facts["reference_classifier_sha256"] = record.sha256(Path(options.classifier))
    record.write_json(options.out, trained | record.header(study.measuring(run)) | facts)


if __name__ == "__main__":
    main()
