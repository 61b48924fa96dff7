"""t-SNE of a run's test codes, of the same images for every method, and its trustworthiness.

    python -m latents.tsne --config config/study.yaml --codes results/codes/mnist/pca/seed1.npz \
        --out tsne.csv --record tsne.json --timing timing.json

writes the coordinates (index, label, x, y) and a record with the trustworthiness. It uses openTSNE (Policar
et al. 2019); docs/lab-log.md compares it with scikit-learn's t-SNE.
"""

import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
from openTSNE import TSNE
from sklearn.manifold import trustworthiness

from latents import cli, config, record
from latents.cli import Problem


def read_codes(path: str, *names: str) -> list[np.ndarray]:
    """Read arrays of a codes file. Raises Problem if it is missing or broken."""
    try:
        # numpy leaves a file of its own open where it is no whole archive
        with Path(path).open("rb") as file, np.load(file) as codes:
            return [codes[name] for name in names]
    except FileNotFoundError:
        raise Problem(f"{path}: missing; {record.again(path)}") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        raise Problem(f"{path}: not a whole codes file; {record.again(path)}") from None


def embed(codes: np.ndarray, perplexity: float, seed: int, threads: int) -> np.ndarray:
    """Coordinates float64 [n, 2] of codes [n, d], initialised by PCA."""
    return np.asarray(
        TSNE(perplexity=perplexity, random_state=seed, n_jobs=threads, initialization="pca").fit(codes)
    )


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "codes", "out", "record", "timing")
    options = parser.parse_args()
    started = time.perf_counter()
    study = config.read(options.config)
    settings = study.measurement
    codes, labels, indices = read_codes(options.codes, "test", "labels_test", "indices_test")
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(len(codes))[: settings.tsne_points])
    perplexity = min(settings.tsne_perplexity, (len(chosen) - 1) / 3)
    points = embed(codes[chosen], perplexity, settings.seed, study.threads)
    columns = (indices[chosen], labels[chosen], points[:, 0].round(3), points[:, 1].round(3))
    lines = zip(*(column.tolist() for column in columns), strict=True)
    table = record.csv_text(("index", "label", "x", "y"), lines)
    record.write_text(options.out, table)
    neighbours = settings.tsne_neighbours
    facts = {
        "format": record.FORMAT,
        "trustworthiness": trustworthiness(codes[chosen], points, n_neighbors=neighbours),
        "neighbours": neighbours,
        "n": len(chosen),
        "perplexity": perplexity,
        "seed": settings.seed,
        "codes_sha256": record.sha256(Path(options.codes)),
        "points_sha256": record.sha256(table.encode()),
    }
    record.write_json(options.record, facts)
    seconds = round(time.perf_counter() - started, 3)
    record.write_json(options.timing, {"format": record.FORMAT, "seconds": seconds})


if __name__ == "__main__":
    main()
