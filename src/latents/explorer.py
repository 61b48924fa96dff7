"""What the explorer shows of one data set, except the networks: points, images and codes of its first seeds.

    python -m latents.explorer --config config/study.yaml --dataset mnist --results results \
        --out explorer/mnist

reads what `latents.export` wrote to <out>/<method>/, and writes
    <out>/dataset.json      classes, methods, and for each image its places in the t-SNEs, class and errors
    <out>/images.webp       these images without loss, COLUMNS to a row
    <out>/<method>/codes    their codes along the principal directions, uint8 [n, d] from `low` to `high`
    <out>/<method>/axes     float32 [., d]: mean, the d principal directions, their deviations, low, high, and
                            the average code of each class along the directions; all of the training codes
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from latents import cli, config, data, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.record import again
from latents.report import style
from latents.report.read import number, read_csv, read_npz
from latents.report.summarize import check, trustworthiness
from latents.report.tex import rounded
from latents.study import Run, Study

IMAGES = 1000  # at most: all files of a data set shall stay below 40 MB
COLUMNS = 100
LEVELS = 255  # of a number of a code


def read_points(study: Study, results: Path, dataset: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The numbers [n] of the images in the test set, and each method's points [n, 2].

    They are the images of the t-SNE, or every second, third ... of more than IMAGES. Raises Problem where
    methods show different images.
    """
    first, points = None, {}
    for method in study.methods:
        path = results / "tsne" / dataset / f"{method}.csv"
        lines = read_csv(
            path,
            ("index", "x", "y"),
            lambda line: (int(line["index"]), number(line["x"]), number(line["y"])),
        )
        values = np.array(lines).reshape(-1, 3)
        first = values[:, 0] if first is None else first
        if not np.array_equal(values[:, 0], first):
            raise Problem(f"{path}: shows other images than the first method; {again(path)}")
        points[method] = values[:, 1:]
    step = -(-len(first) // IMAGES)
    return first[::step].astype(int), {method: one[::step] for method, one in points.items()}


def principal(codes: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The rows of `axes` (see above), float32 [d + 4 + classes, d], of training codes [n, d].

    The signs are such that the largest number of a direction is positive. A class without codes has the mean.
    """
    mean = codes.mean(0, dtype=np.float64)
    centred = codes - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(codes))
    directions = vectors[:, ::-1].T
    directions *= np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))
    along = centred @ directions.T
    averages = [
        along[labels == k].mean(0) if (labels == k).any() else np.zeros_like(mean) for k in range(classes)
    ]
    spread = np.sqrt(np.maximum(values[::-1], 0))
    return np.vstack([mean, directions, spread, along.min(0), along.max(0), averages]).astype(np.float32)


def in_levels(codes: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Codes [n, d] along the principal directions as uint8; 0 is `low` and 255 `high`, beyond is cut off."""
    d = codes.shape[1]
    low, high = axes[d + 2], axes[d + 3]
    along = (codes - axes[0]) @ axes[1 : d + 1].T
    return np.rint((along - low) / np.maximum(high - low, 1e-12) * LEVELS).clip(0, LEVELS).astype(np.uint8)


def sheet(images: np.ndarray) -> bytes:
    """Images uint8 [n, c, h, w] on one sheet, row by row, as lossless WebP."""
    n, channels, height, width = images.shape
    rows = -(-n // COLUMNS)
    cells = np.zeros((rows * COLUMNS, height, width, channels), np.uint8)
    cells[:n] = images.transpose(0, 2, 3, 1)
    grid = cells.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, COLUMNS * width, channels).repeat(3 // channels, 2)
    content = io.BytesIO()
    Image.fromarray(grid).save(content, "WEBP", lossless=True, quality=75)
    return content.getvalue()


def describe_method(
    study: Study, results: Path, run: Run, index: np.ndarray, out: Path
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What dataset.json says of a run, and the content of its files `codes` and `axes`. Raises Problem."""
    measured = record.read_json(results / "records" / f"{run}.json")
    path = results / "codes" / f"{run}.npz"
    check(path, measured, "codes_sha256")
    arrays = read_npz(path, "train", "test", "labels_train", "indices_test")
    places = np.searchsorted(arrays["indices_test"], index)
    if not np.array_equal(arrays["indices_test"][places.clip(max=len(arrays["test"]) - 1)], index):
        raise Problem(f"{path}: lacks images that the t-SNE shows; {again(path)}")
    axes = principal(arrays["train"], arrays["labels_train"], len(DATASETS[run.dataset].classes))
    card = record.read_json(out / run.method / "card.json")
    if card.get("weights_sha256") != measured["weights_sha256"]:
        raise Problem(f"{out / run.method}: networks of other weights; run latents.export again")
    network = onnxruntime.InferenceSession(
        out / run.method / "probe.onnx", providers=["CPUExecutionProvider"]
    )
    logits = network.run(None, {"codes": arrays["test"][places]})[0]
    trusted = trustworthiness(results, run.dataset, run.method, run.seed)
    errors = np.frombuffer(base64.b64decode(measured["errors"]), np.float16)[places]
    facts = {
        "name": run.method,
        "label": METHODS[run.method].label,
        "about": METHODS[run.method].about,
        "seesLabels": METHODS[run.method].sees_labels,
        "size": axes.shape[1],
        "decoder": card["decoder"],
        "accuracy": rounded("accuracy_linear", card["on_test"]["accuracy_linear"]),
        "mae": rounded("mae", card["on_test"]["mae"]),
        "trustworthiness": rounded("tsne_trustworthiness", trusted),
        "predicted": logits.argmax(1).tolist(),
        "errors": [round(float(error), 4) for error in errors],
    }
    return facts, {"codes": in_levels(arrays["test"][places], axes).tobytes(), "axes": axes.tobytes()}


def describe(study: Study, results: Path, dataset: str, out: Path) -> dict[str, bytes]:
    """The content of all files of a data set, by name below `out`. Raises Problem."""
    spec = DATASETS[dataset]
    height, width, channels = spec.shape
    index, points = read_points(study, results, dataset)
    test = data.load(study, dataset, with_test=True).test.at(index)
    names = style.class_names(study, dataset)
    files, methods = {}, []
    for method in study.methods:
        run = Run(dataset, method, study.dataset(dataset).seeds[0])
        facts, own = describe_method(study, results, run, index, out)
        methods.append(
            facts | {"x": points[method][:, 0].round(2).tolist(), "y": points[method][:, 1].round(2).tolist()}
        )
        files |= {f"{method}/{name}": content for name, content in own.items()}
    described = {
        "name": dataset,
        "label": style.dataset_name(study, dataset),
        "note": study.note,
        "height": height,
        "width": width,
        "channels": channels,
        "whiteOnBlack": spec.white_on_black,
        "columns": COLUMNS,
        "classes": names,
        "colors": style.class_colors(len(names)),
        "index": index.tolist(),
        "labels": test.labels.tolist(),
        "methods": methods,
    }
    files["images.webp"] = sheet(test.images)
    files["dataset.json"] = json.dumps(described, separators=(",", ":")).encode()
    return files


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "dataset", paths=("results", "out"))
    options = parser.parse_args()
    study = config.read(options.config)
    for name, content in describe(study, options.results, options.dataset, options.out).items():
        record.write_bytes(options.out / name, content)


if __name__ == "__main__":
    main()
