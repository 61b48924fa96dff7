"""A whole results folder of made-up numbers and pictures, in the format of every step: none is measured."""

import base64
import itertools
import sys
from pathlib import Path

import numpy as np
import yaml

from latents import config, record
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import NUISANCES, YARDSTICKS
from latents.report import claims, faults, speed, summarize, tables
from latents.study import Run, Study

NOTE = "DEMO: stand-in for CIFAR-10, 5,000 MNIST digits"

OTHER_ENCODERS = ("pca", "autoencoder", "split", "joint")  # without the features that are probed


def plain_study(folder: str = "") -> dict:
    """The study with three seeds of MNIST, one of CIFAR-10 and of each sweep; with a folder, the demo."""
    plain = yaml.safe_load((record.ROOT / "config/study.yaml").read_text())
    del plain["sweeps"]
    sweeps = yaml.safe_load((record.ROOT / "config/sweeps.yaml").read_text())
    for dataset, seeds in {"mnist": [1, 2, 3], "cifar10": [1]}.items():
        for sweep in (sweep for some in sweeps[dataset].values() for sweep in some.values()):
            sweep["seeds"] = [1]
        plain["datasets"][dataset] |= {"seeds": seeds, "sweeps": sweeps[dataset]}
    plain["measurement"]["tsne-points"] = 600
    plain["precision"] = "bfloat16"
    return plain | ({"study": "demo", "folder": folder, "note": NOTE, "source": "stand-in"} if folder else {})


def numbers(draw: np.random.Generator, run: Run) -> list[dict]:
    """Every metric that an evaluation writes, plausible in size; not one of them was measured."""
    dataset, main = run.dataset, run.variant == "main"
    rank = list(METHODS).index(run.base)
    base = {
        "cifar10": [55, 50, 57, 64, 58, 90, 78, 91, 77, 71],
        "mnist": [97.5, 95, 98.1, 98.7, 98.2, 99.5, 99.1, 99.6, 99, 98.9],
    }[dataset][rank]
    near = lambda value, spread=0.01: float(value * (1 + spread * draw.standard_normal()))
    found = {}
    for shift, split in enumerate(("train", "val", "test")):
        probes = {"linear": -8, "mlp": 0, "knn": -6, "best": 0}
        probes |= {"head": 1} if METHODS[run.base].sees_labels else {}
        for probe, offset in probes.items():
            value = base + offset * (100 - base) / 40 - 0.3 * shift + 0.15 * draw.standard_normal()
            found[f"accuracy_{probe}", split] = (min(99.97, float(value)), "percent")
        for probe, share in itertools.product(("linear", "knn"), (1, 10)):
            if split != "train" and main:
                value = float(base - 20 / share + draw.standard_normal())
                found[f"accuracy_{probe}_{share}pct", split] = (value, "percent")
        if split != "train" and main and run.seed == 1 and run.method not in OTHER_ENCODERS:
            for probe in ("linear", "knn"):
                found[f"accuracy_{probe}_features_10pct", split] = (near(0.98 * base), "percent")
        if split != "train" and run.method in ("contrastive", "supcon", "split", "joint"):
            for probe, offset in {"linear": 8, "knn": 6}.items():
                value = float(base - offset + draw.standard_normal())
                found[f"accuracy_{probe}_projection", split] = (value, "percent")
        mae = [0.0503, 0.081, 0.0632, 0.0447, 0.07, 0.1274, 0.1105, 0.1312, 0.055, 0.06][rank] / (
            2 if dataset == "mnist" else 1
        )
        found["mae", split] = (near(mae), "pixel range")
        if main:
            decodes = "autoencoder" in run.method or run.method in ("pca", "vae", "split", "joint")
            found["mae_frozen", split] = (near(1.1 * mae), "pixel range") if decodes else found["mae", split]
            for epochs in (1, 3, 12) if run.seed == 1 and split != "train" else ():
                found[f"mae_frozen_{epochs}_epochs", split] = (near(1.1 * mae), "pixel range")
        found["psnr", split] = (near(-20 * np.log10(mae) - 3), "dB")
        found["ssim", split] = (near(0.95 - 4 * mae), "")
    for split in ("val", "test"):
        found["silhouette", split] = (
            near([-0.05, -0.08, -0.02, 0.01, -0.03, 0.55, 0.15, 0.71, 0.1, 0.05][rank], 0.03),
            "",
        )
        found["scatter_ratio", split] = (
            near([0.08, 0.06, 0.09, 0.12, 0.1, 3.1, 0.6, 7.8, 0.4, 0.3][rank], 0.03),
            "",
        )
        found["knn_purity", split] = (
            near([0.3, 0.28, 0.32, 0.4, 0.35, 0.89, 0.72, 0.91, 0.7, 0.6][rank]),
            "",
        )
        found["alignment", split] = (
            near([0.9, 0.4, 0.7, 0.6, 0.5, 0.15, 0.2, 0.1, 0.3, 0.3][rank], 0.03),
            "",
        )
        found["uniformity", split] = (
            near([-3.4, -0.9, -3.0, -3.2, -3.5, -2.2, -3.7, -2.4, -3.6, -3.5][rank], 0.03),
            "",
        )
        found["effective_rank", split] = (near([96, 14, 60, 88, 64, 9.5, 70, 9.1, 80, 75][rank], 0.03), "")
        for place, name in enumerate(NUISANCES) if main else ():
            if dataset == "cifar10" or name != "colour":
                found[f"nuisance_{name}", split] = (near(0.9 - 0.1 * place), "")
        for change in ("32bit", "1bit", "2bit", "4bit", "8bit", "noise_0.1", "noise_0.3", "noise_1"):
            if run.variant == "main" and run.seed == 1:
                found[f"mae_{change}", split] = (near(mae), "pixel range")
                found[f"accuracy_mlp_{change}", split] = (near(base), "percent")
                found[f"accuracy_linear_{change}", split] = (near(base), "percent")
    found["path_length", "test"], found["path_length_pixels", "test"] = (near(1.31, 0.05), ""), (1.0, "")
    found["path_length_spherical", "test"] = (1.4, "")
    found["class_changes", "test"], found["class_changes_pixels", "test"] = (near(1.72, 0.1), ""), (2.4, "")
    found["class_changes_pairs", "test"] = (int(draw.integers(90, 200)), "pairs")
    found["class_changes_pixels_pairs", "test"] = (231, "pairs")
    found["reference_classifier_accuracy", "test"] = (92.4, "percent")
    found["reference_classifier_accuracy_decoded", "test"] = (near(48, 0.1), "percent")
    found["parameters", "-"] = (
        [100352, 1894144, 412345, 2294147, 1894144, 1895434, *[2025344] * 4][rank],
        "",
    )
    length = {"budget.eighth": 0.125, "budget.quarter": 0.25}.get(run.variant, 1)
    flops = length * [2.1e10, 0, 3.4e14, 9.1e15, 9e15, 8.2e15, *[1.4e16] * 4][rank]
    found["train_flops", "-"] = (flops, "FLOP")
    return [
        {"metric": m, "split": split, "value": value, "unit": unit}
        for (m, split), (value, unit) in found.items()
    ]


def images(draw: np.random.Generator, shape: tuple[int, int, int], n: int) -> np.ndarray:
    """Smooth random pictures, uint8 [n, h, w, c]."""
    h, w, c = shape
    coarse = draw.uniform(0, 1, (n, h // 4, w // 4, c)).repeat(4, 1).repeat(4, 2)
    for axis in (1, 2):
        coarse = (np.roll(coarse, 1, axis) + coarse + np.roll(coarse, -1, axis)) / 3
    return (255 * coarse).astype(np.uint8)


def times(seconds: float) -> dict:
    return {"format": record.FORMAT, "seconds": seconds, "parts": {}, "peak_memory_bytes": 10**9}


def each_image(n: int, metrics: list[dict]) -> dict:
    """Which of n test images a probe classifies correctly, and each one's error, as the metrics say.

    All methods find the same images hard.
    """
    on_test = {one["metric"]: one["value"] for one in metrics if one["split"] == "test"}
    hard = np.random.default_rng(8).permutation(n)
    correct = {
        name: np.packbits(hard < on_test[f"accuracy_{name}"] / 100 * n) for name in ("linear", "mlp", "knn")
    }
    errors = {
        name: on_test[metric] * (0.5 + hard / n)
        for name, metric in (("errors", "mae"), ("errors_frozen", "mae_frozen"))
        if metric in on_test
    }
    encoded = {name: base64.b64encode(each.astype("<f2")).decode() for name, each in errors.items()}
    return {"correct": {name: base64.b64encode(bits).decode() for name, bits in correct.items()}} | encoded


def synthesise(study: Study, results: Path) -> None:
    """Write a complete results folder, every file in the format of the step that makes it."""
    for dataset in study.datasets:
        draw = np.random.default_rng(5)
        originals = images(draw, DATASETS[dataset].shape, 12)
        mix = np.linspace(0, 1, 10)[None, :, None, None, None]
        pixels = ((1 - mix) * originals[:4, None] + mix * originals[4:8, None]).astype(np.uint8)
        for run in study.runs(dataset):
            write_run(study, run, results, draw, originals, pixels)
        classifier = study.reference_classifiers()[dataset]
        record.write_json(results / "timing" / f"{classifier}.train.json", times(600.0))
        write_tsne(study, dataset, results, draw)
        write_yardsticks(dataset, results)
        main = [(run.method, run.seed) for run in study.runs(dataset) if run.variant == "main"]
        pairs = itertools.combinations(main, 2)
        alike = [(*one, *other, float(draw.uniform(0.1, 0.95))) for one, other in pairs]
        header = ("run_a", "seed_a", "run_b", "seed_b", "cka")
        record.write_csv(results / "similarity" / f"{dataset}.csv", header, alike)


def write_run(study, run, results, draw, originals, pixels) -> None:
    """All files of one run."""
    settings = study.measuring(run)
    content = {
        "format": record.FORMAT,
        "dataset": run.dataset,
        "run": run.method,
        "method": run.base,
        "variant": run.variant,
        "seed": run.seed,
        "study": study.study,
        "config": settings,
        "config_sha256": record.config_sha256(settings),
        "versions": {"python": "3.11.2", "torch": "2.14.1"},
        "device": "cpu",
        "processor": "Made_up CPU @ 2 GHz, 100 % busy",
        "threads": 2,
        "precision": study.precision_of(run.dataset),
        "test_read": True,
        "probe_chosen_on_val": "mlp",
        "metrics": numbers(draw, run),
    }
    hashes = {"split": "a1", "data": "b2", "source": "c3", "weights": "d4"}
    content |= {f"{name}_sha256": 32 * byte for name, byte in hashes.items()}
    content["codes_sha256"] = record.sha256(str(run).encode())
    content |= each_image(study.datasets[run.dataset].test, content["metrics"])
    trained = run.base in study.trained_methods
    noise = 0.02 * draw.standard_normal(12)
    curve = [
        (e, 214 * e, 2 * 0.8**e + 0.1 + float(noise[e - 1]), 2 * 0.85**e + 0.2, 0.001) for e in range(1, 13)
    ]
    header = ("epoch", "step", "loss", "val_loss", "lr")
    record.write_csv(results / "curves" / f"{run}.csv", header, curve if trained else [])
    for step, seconds in (("train", 1234.5 if trained else 2.0), ("evaluate", 180.0)):
        record.write_json(results / "timing" / f"{run}.{step}.json", times(seconds))
    blurred = (originals // 2 + 64 + draw.integers(0, 20, originals.shape)).astype(np.uint8)
    file = results / "pictures" / f"{run}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = {"originals": originals, "reconstructions": blurred}
    shown |= {"indices": np.arange(12), "labels": np.arange(12) % 10}
    if run.method == "vae":
        shown["samples"] = np.tile(blurred, (3, 1, 1, 1))
    paths = {"path_ends": np.arange(8).reshape(4, 2), "path_codes": pixels // 2 + 64, "path_pixels": pixels}
    paths["path_arcs"] = pixels[:1] // 3 + 80
    nearest = (np.arange(10)[:, None] + np.arange(5)) % 12
    near = {"queries": originals[:10], "query_labels": np.arange(10), "neighbours": originals[nearest]}
    near |= {"neighbour_labels": nearest % 10}
    np.savez(file, **shown, **paths, **near)
    record.write_bytes(results / "samples" / f"{run}.npz", b"")
    beside = {"curve": f"curves/{run}.csv", "pictures": f"pictures/{run}.npz", "sample": f"samples/{run}.npz"}
    for key, name in beside.items():
        content[f"{key}_sha256"] = record.sha256(results / name)
    record.write_json(results / "records" / f"{run}.json", content)


def write_tsne(study, dataset, results, draw) -> None:
    """The points of every method."""
    labels = draw.integers(0, 10, study.measurement.tsne_points)
    angle = 2 * np.pi * labels / 10
    centres = 30 * np.stack([np.cos(angle), np.sin(angle)], 1)
    for place, method in enumerate(study.methods):
        points = centres * (place + 1) / 7 + 6 * draw.standard_normal(centres.shape)
        lines = zip(range(len(labels)), labels.tolist(), *points.T.tolist(), strict=True)
        table = results / "tsne" / dataset / f"{method}.csv"
        record.write_csv(table, ("index", "label", "x", "y"), lines)
        trust = {"trustworthiness": 0.9 + 0.01 * place, "points_sha256": record.sha256(table)}
        first = Run(dataset, method, study.datasets[dataset].seeds[0])
        trust["codes_sha256"] = record.sha256(str(first).encode())
        record.write_json(table.with_suffix(".json"), {"format": record.FORMAT} | trust)


def write_yardsticks(dataset: str, results: Path) -> None:
    """What needs no code."""
    values = {name: ("mae", 0.2 / (place + 1), "pixel range") for place, name in enumerate(YARDSTICKS)}
    probed = [(name, probe) for name in ("pixels", "gradients") for probe in ("linear", "mlp", "knn")]
    lines = [(name, f"accuracy_{probe}", 40.0, "percent") for name, probe in probed]
    lines += [(name, *value) for name, value in values.items()]
    sizes = (16, 32, 64, 128)
    lines += [
        (f"{codec}-{n}-bytes", "mae", 1.6 / n, "pixel range") for codec in ("jpeg", "webp") for n in sizes
    ]
    metrics = [
        {"variant": variant, "metric": metric, "split": split, "value": value, "unit": unit}
        for variant, metric, value, unit in lines
        for split in ("train", "val", "test")
    ]
    made = {"format": record.FORMAT, "split_sha256": 32 * "a1", "data_sha256": 32 * "b2"}
    grey = np.full(DATASETS[dataset].shape, 100, np.uint8)
    made["median_image"] = base64.b64encode(grey.tobytes()).decode()
    record.write_json(results / "yardsticks" / f"{dataset}.json", made | {"metrics": metrics})


def benchmark() -> dict:
    """The record of a benchmark that was never run."""
    contenders = (
        *(f"ordinary, {n} workers" for n in range(3)),
        "in memory",
        "channels last",
        "allocator",
        "ours",
    )
    methods = ("autoencoder", "autoencoder-plus", "guided", "contrastive")

    def spread(value: float) -> dict:
        low, high = 0.9 * value, 1.1 * value
        return {"median": value, "low": low, "high": high, "rounds": [low, value, high]}

    lines = []
    for dataset, base in (("cifar10", 100.0), ("mnist", 200.0)):
        speeds = {name: spread(base * (place + 1)) for place, name in enumerate(contenders)}
        ratios = {name: speeds[name]["median"] / (3 * base) for name in contenders[3:]}
        line = {"best_ordinary": "ordinary, 2 workers", "images_per_second": speeds, "over_ordinary": ratios}
        lines += [{"dataset": dataset, "method": method} | line for method in methods]
    shares = {"data": 0.05, "forward": 0.3, "backward": 0.6, "optimizer": 0.05}
    seeds = [
        {"seed": k, "seconds": 250.0 + k, "parts": {"training": 240.0, "preparing": 5.0}, "accuracy": 89.5}
        for k in (1, 2, 3)
    ]
    points = [{"points": n, "seconds": n / 100, "gib": 1.0} for n in (1000, 3000, 10000)]
    peak = {"conv_peak_share": 0.61, "bound_share": 0.82, "validation": 0.5, "shares": shares}
    sprint = {"seeds": seeds, "split": "test", "accuracy": 89.5, "seconds": 252.0}
    images = [{"images": n, "seconds": n / 1500, "gib": 1.0 + n / 1e5} for n in (10000, 20000, 45000)]
    widths = [
        {"images": 10000, "widths": [width // 2, width], "seconds": width / 10, "gib": 1.0}
        for width in (64, 128)
    ]
    return {
        "format": record.FORMAT,
        "source_sha256": "f6" * 32,
        "bench": {"rounds": 3},
        "processor": "Made_up CPU @ 2 GHz, 100 % busy",
        "threads": 2,
        "precision": "bfloat16",
        "throughput": lines,
        "peak": {"fastest": 4.8e11, "methods": dict.fromkeys(methods, peak)},
        "workflow": {name: spread(2.5) for name in ("figure", "paper", "noop", "start")},
        "sprint": sprint | {"changes": {"optimisation": {"epochs": 8}}},
        "growth": {"images": images, "widths": widths, "tsne": points, "tsne_other": points[:2]},
        "overhead_share": 0.08,
        "peak_gib": 2.5,
    }


def fault_trials() -> dict:
    """The record of fault trials that were never made."""
    one = {"count": 1, "unlike": [], "holds": True}
    killed = {"runs": 3, "slowest": 0.1, "steps": {"train": 9, "evaluate": 8, "figures": 2, "workflow": 3}}
    late = {"count": 10, "steps": {"figures": 4, "paper": 3}}
    found = {"kill": one | killed | {"count": 30}, "kill_late": one | killed | late}
    found |= {"stop": one | killed | {"count": 10, "slowest": 1.7}, "second": one | {"said": 1}, "odd": one}
    found |= {"full_disk": one | {"count": 17, "said": 17}, "read_only": one | {"said": 1}}
    made = {"outputs": 321, "source_sha256": "f6" * 32, "processor": "Made_up CPU"}
    return {"format": record.FORMAT, "trials": found} | made


def call(module, *arguments: object) -> None:
    """Run a step's main in this process, so that its warnings are errors here."""
    before = sys.argv
    sys.argv = [module.__name__, *map(str, arguments)]
    try:
        module.main()
    finally:
        sys.argv = before


def inputs(folder: Path) -> tuple:
    return "--config", folder / "study.yaml", "--results", folder / "results"


def summarise(folder: Path) -> None:
    results = folder / "results"
    out = ("--out-runs", results / "runs.csv", "--out-summary", results / "summary.csv")
    call(summarize, *inputs(folder), *out)


def prepare(folder: Path, plain: dict) -> Path:
    """A folder with study.yaml and results/ as after every step but the report."""
    (folder / "study.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    synthesise(config.read(folder / "study.yaml"), folder / "results")
    record.write_json(folder / "results/bench/cpu.json", benchmark())
    record.write_json(folder / "results/fault_trials.json", fault_trials())
    return folder


def report(folder: Path) -> Path:
    """The same folder with the summary, and in generated/ all that the paper includes."""
    summarise(folder)
    generated, results = folder / "generated", folder / "results"
    call(tables, *inputs(folder), "--out", generated)
    call(speed, "--bench", results / "bench/cpu.json", "--out", generated)
    call(faults, "--trials", results / "fault_trials.json", "--out", generated / "macros_faults.tex")
    out = ("--out", generated / "macros_claims.tex", "--table", generated / "table_claims.tex")
    out += ("--record", generated / "claims.json")
    call(claims, *inputs(folder), "--claims", record.ROOT / "paper/claims.yaml", *out)
    return folder
