"""t-SNE of a cell's test codes, of the same images for every row, with its trustworthiness.

    python -m latents.tsne --config config/study.yaml --codes results/codes/mnist/pca/seed1.npz \
        --out tsne.csv --record tsne.json --timing timing.json

openTSNE (Policar et al. 2019): see docs/lab-log.md for the comparison with scikit-learn's.
"""

import argparse
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from openTSNE import TSNE
from sklearn.manifold import trustworthiness

from latents import config, record
from latents.config import Problem


def read_codes(path: str, *names: str) -> list[np.ndarray]:
    """Arrays of a codes file; raises Problem when it is missing or broken."""
    try:
        with np.load(path) as codes:
            return [codes[name] for name in names]
    except FileNotFoundError:
        raise Problem(f"{path}: missing; run the step that makes it (snakemake {path})") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        raise Problem(f"{path}: not a whole codes file; delete it and run again") from None


def embed(codes: np.ndarray, perplexity: float, seed: int, threads: int) -> np.ndarray:
    """Coordinates float64 [n, 2] of codes [n, 128], initialised by PCA."""
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed, n_jobs=threads, initialization="pca").fit(codes))


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "codes", "out", "record", "timing"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    started = time.perf_counter()
    study = config.read(options.config)
    settings = study.measurement
    codes, labels, indices = read_codes(options.codes, "test", "labels_test", "indices_test")
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(len(codes))[: settings.tsne_points])
    perplexity = min(settings.tsne_perplexity, (len(chosen) - 1) / 3)
    points = embed(codes[chosen], perplexity, settings.seed, study.threads)
    table = pd.DataFrame({"index": indices[chosen], "label": labels[chosen], "x": points[:, 0].round(3), "y": points[:, 1].round(3)})
    rows = table.to_csv(index=False, lineterminator="\n")
    record.write_text(options.out, rows)
    facts = {
        "trustworthiness": trustworthiness(codes[chosen], points, n_neighbors=settings.tsne_neighbours), "neighbours": settings.tsne_neighbours,
        "n": len(chosen), "perplexity": perplexity, "seed": settings.seed, "codes_sha256": record.sha256(Path(options.codes)),
        "points_sha256": record.sha256(rows.encode()),
    }  # fmt: skip
    record.write_json(options.record, {"format": record.FORMAT} | facts)
    record.write_json(options.timing, {"format": record.FORMAT, "seconds": round(time.perf_counter() - started, 3)})


if __name__ == "__main__":
    main()
