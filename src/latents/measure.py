"""The measurements of one run, each of which adds its metrics to the record."""

import base64
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from latents import augment, data, geometry, interpolate, probe
from latents.decode import Decode, decode, mae, psnr, ssim, train_decoder
from latents.device import autocast, generator, to_float
from latents.encode import BATCH, encode
from latents.metrics import PROBES
from latents.model import Model
from latents.probe import Parts
from latents.subject import Measured, Subject

PATHS = 4  # interpolations written for the figures


def measure_probes(subject: Subject, found: Measured) -> tuple[dict[str, Any], dict[str, probe.Outcome]]:
    """Fit all probes and add their accuracy.

    Returns facts (the probe that is better on val, the settings chosen on val, and the correctness of each
    test prediction) and the outcomes.
    """
    codes, labels = subject.codes, subject.labels
    settings, splits = subject.study.probe, subject.splits
    outcomes = probe.fit_probes(probe.FUNCTIONS, codes, labels, settings, subject.classes, splits)
    if subject.model.head is not None:
        with torch.inference_mode():
            predictions = {name: subject.model.head(codes[name]).argmax(1) for name in splits}
        outcomes["head"] = probe.Outcome(predictions, None)
    on_val = {name: probe.accuracy(one.predictions["val"], labels["val"]) for name, one in outcomes.items()}
    better = max((name for name in outcomes if PROBES[name].competes), key=on_val.__getitem__)
    for name, outcome in [*outcomes.items(), ("best", outcomes[better])]:
        for split, predictions in outcome.predictions.items():
            found.add(f"accuracy_{name}", split, probe.accuracy(predictions, labels[split]))
    correct = {
        name: base64.b64encode(probe.packed(outcome.predictions["test"] == labels["test"])).decode()
        for name, outcome in outcomes.items()
        if "test" in labels
    }
    chosen = {name: outcome.chosen for name, outcome in outcomes.items() if outcome.chosen is not None}
    facts = {"probe_chosen_on_val": better, "probe_settings_chosen_on_val": chosen, "correct": correct}
    return facts, outcomes


def add_probes(
    subject: Subject, codes: Parts, labels: Parts, suffix: str, splits: list[str], found: Measured
) -> dict[str, float]:
    """Fit the few-label probes on other codes or labels; returns the settings chosen on val."""
    settings, names = {}, [name for name in probe.FUNCTIONS if PROBES[name].few_labels]
    outcomes = probe.fit_probes(names, codes, labels, subject.study.probe, subject.classes, splits)
    for name, outcome in outcomes.items():
        if outcome.chosen is not None:
            settings[f"{name}_{suffix}"] = outcome.chosen
        for split in splits:
            accuracy = probe.accuracy(outcome.predictions[split], labels[split])
            found.add(f"accuracy_{name}_{suffix}", split, accuracy)
    return settings


def measure_few_labels(subject: Subject, found: Measured) -> dict[str, float]:
    """Linear probe and kNN on shares of the training labels; returns the settings chosen on val.

    The MLP is left out because a few hundred codes are too few to train it.
    """
    codes, labels, settings = subject.codes, subject.labels, {}
    seed = subject.study.dataset(subject.run.dataset).split_seed
    for share in subject.study.measurement.label_shares:
        chosen = data.labelled(labels["train"].cpu().numpy(), share, seed)
        index = torch.from_numpy(chosen).to(codes["train"].device)
        few, named = ({**part, "train": part["train"][index]} for part in (codes, labels))
        unseen = [name for name in codes if name != "train"]
        settings |= add_probes(subject, few, named, f"{100 * share:g}pct", unseen, found)
    return settings


def measure_projection(subject: Subject, found: Measured) -> dict[str, float]:
    """Linear probe and kNN on the output of the projection head, if there is one.

    Returns the settings chosen on val.
    """
    projector = subject.model.projector
    if projector is None:
        return {}
    with torch.inference_mode():
        z = {name: functional.normalize(projector(part), dim=1) for name, part in subject.codes.items()}
    unseen = [name for name in z if name != "train"]
    return add_probes(subject, z, subject.labels, "projection", unseen, found)


def measure_reconstruction(
    subject: Subject, shown: str, found: Measured
) -> tuple[Decode, dict[str, Parts], Tensor]:
    """MAE, PSNR and SSIM with the method's own decoder, and MAE with a decoder trained on the frozen codes.

    A method without a decoder of its own uses the decoder on frozen codes for both; for variants, that
    decoder is trained only in this case. Returns the decoder used for all three measures, each image's MAE
    with either decoder, and the decoded images of the split `shown`.
    """
    study, model, codes, images = subject.study, subject.model, subject.codes, subject.images
    main, frozen = subject.run.variant == "main", None
    if main or not model.decodes:
        frozen = train_decoder(study, subject.run.dataset, codes["train"], images["train"])
    decoder = model.decode if model.decodes else frozen
    found.lap("train decoder")
    errors, decoded = reconstruct(subject, decoder, shown, found)
    by_decoder = {"errors": errors}
    if main:
        by_decoder["errors_frozen"] = errors
        if decoder is not frozen:
            by_decoder["errors_frozen"] = {name: errors_of(subject, frozen, name) for name in codes}
        for name, part in by_decoder["errors_frozen"].items():
            found.add("mae_frozen", name, part.double().mean().item())
        found.lap("reconstruct")
    return decoder, by_decoder, decoded


def reconstruct(subject: Subject, decoder: Decode, shown: str, found: Measured) -> tuple[Parts, Tensor]:
    """Decode the splits that are measured and add MAE; on val and test, PSNR and SSIM too.

    Returns the MAE of each image [n] by split, and the decoded images of the split `shown`; those of the
    other splits are discarded batch by batch.
    """
    errors, decoded = {}, []
    for split in subject.splits:
        codes, measures = subject.codes[split], {"mae": mae}
        measures |= {} if split == "train" else {"psnr": psnr, "ssim": ssim}
        values: dict[str, list[Tensor]] = {name: [] for name in measures}
        batches = zip(codes.split(4 * BATCH), subject.images[split].split(4 * BATCH), strict=True)
        for part, originals in batches:
            pictures = decode(decoder, part, subject.precision)
            found.lap("decode")
            for name, measure in measures.items():
                values[name].append(measure(pictures, to_float(originals)))
            if split == shown:
                decoded.append(pictures)
            found.lap("reconstruct")
        for name in measures:
            found.add(name, split, torch.cat(values[name]).double().mean().item())
        errors[split] = torch.cat(values["mae"])
    return errors, torch.cat(decoded)


def errors_of(subject: Subject, decoder: Decode, split: str) -> Tensor:
    """MAE of each image [n] of a split."""
    batches = zip(subject.codes[split].split(4 * BATCH), subject.images[split].split(4 * BATCH), strict=True)
    precision = subject.precision
    return torch.cat(
        [mae(decode(decoder, part, precision), to_float(originals)) for part, originals in batches]
    )


def measure_geometry(subject: Subject, found: Measured) -> None:
    """Geometry on val and test, of codes centred on the training mean.

    Alignment compares two views of a sample of images, the same for every method.
    """
    study, settings = subject.study, subject.study.measurement
    mean = subject.codes["train"].mean(0)
    for number, split in enumerate(name for name in ("val", "test") if name in subject.codes):
        codes, classes = subject.codes[split] - mean, subject.labels[split]
        random = generator(codes.device, settings.seed, number)
        # the published test files are sorted by source, so a subset is drawn at random
        order = np.random.default_rng(settings.seed).permutation(len(codes))
        drawn, sample = order[: settings.silhouette_points], subject.images[split][order[: settings.sample]]

        def view(batch: Tensor, random: torch.Generator = random) -> Tensor:
            return augment.view(batch, settings.alignment, random)

        views = [encode(subject.model.encoder, sample, subject.precision, view) - mean for _ in range(2)]
        found.lap("encode")
        found.add("silhouette", split, geometry.silhouette(codes[drawn], classes[drawn]))
        found.add("scatter_ratio", split, geometry.scatter_ratio(codes, classes))
        found.add("knn_purity", split, geometry.knn_purity(codes, classes, study.probe.knn_k))
        found.add("alignment", split, geometry.alignment(*views))
        found.add("uniformity", split, geometry.uniformity(codes))
        found.add("effective_rank", split, geometry.effective_rank(codes))
        found.lap("geometry")


class Paths(NamedTuple):
    """Interpolations between pairs of test images.

    `pairs` are positions [p, 2]; `codes`, `arcs` and `pixels` are frames [p, steps, c, h, w] of three kinds.
    """

    pairs: np.ndarray
    codes: Tensor
    arcs: Tensor
    pixels: Tensor


def measure_interpolation(
    subject: Subject, classifier: Model, decoder: Decode, decoded: Tensor, found: Measured
) -> Paths:
    """Interpolate between test images through the codes, on lines and arcs, and through the pixels.

    The pairs are of two classes each, the same for every method. Also adds the reference classifier's
    confidence between the ends (its mean probability of its own answer), and its accuracy on the test images
    and on the decoded test images.
    """
    settings = subject.study.measurement
    codes, images, labels = (part["test"] for part in (subject.codes, subject.images, subject.labels))
    classifier.to(codes.device, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def classify(pictures: Tensor) -> Tensor:
        """The reference classifier's probabilities [n, classes]."""
        found.lap("interpolate")
        with autocast(pictures.device, subject.precision):
            seen = torch.cat([classifier.encoder(part) for part in pictures.split(BATCH)])
        found.lap("encode")
        return classifier.head(seen).float().softmax(1)

    def decoded_at(points: Tensor) -> Tensor:
        frames = decode(decoder, points.flatten(0, 1), subject.precision).unflatten(0, points.shape[:2])
        found.lap("decode")
        return frames

    pairs = unlike_pairs(labels.cpu().numpy(), settings.pairs, settings.seed)
    starts, ends = (torch.from_numpy(pairs[:, k]).to(codes.device) for k in (0, 1))
    mean = subject.codes["train"].mean(0)
    through_codes = decoded_at(interpolate.line(codes[starts], codes[ends]))
    on_arcs = decoded_at(mean + interpolate.arc(codes[starts] - mean, codes[ends] - mean))
    through_pixels = interpolate.line(to_float(images[starts]), to_float(images[ends]))
    classes = torch.stack([labels[starts], labels[ends]], 1)
    for frames, suffix in ((through_codes, ""), (on_arcs, "_spherical"), (through_pixels, "_pixels")):
        along = classify(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        changes, counted = interpolate.class_changes(along.argmax(2), classes)
        found.add(f"path_length{suffix}", "test", interpolate.path_length(frames))
        found.add(f"path_confidence{suffix}", "test", 100 * along[:, 1:-1].amax(2).double().mean().item())
        # a mean over very few pairs is not informative: only their number is recorded
        enough = counted >= settings.fewest_pairs
        found.add(f"class_changes{suffix}", "test", changes if enough else None)
        found.add(f"class_changes{suffix}_pairs", "test", counted)
    for name, pictures in (("", to_float(images)), ("_decoded", decoded)):
        accuracy = probe.accuracy(classify(pictures).argmax(1), labels)
        found.add(f"reference_classifier_accuracy{name}", "test", accuracy)
    return Paths(pairs, through_codes, on_arcs, through_pixels)


def unlike_pairs(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Positions [p, 2] of at most n random pairs of images of two classes each; no image is in two pairs."""
    order = np.random.default_rng(seed).permutation(len(labels))
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    return pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]][:n]


def to_uint8(images: Tensor) -> np.ndarray:
    """float [..., c, h, w] in [0, 1] -> uint8 [..., h, w, c]."""
    return (images.movedim(-3, -1) * 255).round().clamp(0, 255).byte().cpu().numpy()
