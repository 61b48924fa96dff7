"""t-SNE of the test codes of every row of a data set, the same images for all, with its trustworthiness.

    python -m latents.tsne --config config/study.yaml --dataset mnist --codes results/codes/mnist/*/seed1.npz \
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
from latents.config import ROWS, Problem


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
    for name in ("config", "dataset", "out", "record", "timing"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--codes", nargs="+", required=True, help="one file a row, in the order of the rows")
    options = parser.parse_args()
    started = time.perf_counter()
    study = config.read(options.config)
    settings = study.measurement
    columns, trust = {}, {}
    for row, path in zip(ROWS, options.codes, strict=True):
        codes, labels, indices = read_codes(path, "test", "labels_test", "indices_test")
        chosen = np.sort(np.random.default_rng(settings.seed).permutation(len(codes))[: settings.tsne_points])
        perplexity = min(settings.tsne_perplexity, (len(chosen) - 1) / 3)
        points = embed(codes[chosen], perplexity, settings.seed, study.threads)
        columns |= {"index": indices[chosen], "label": labels[chosen]}
        columns |= {f"{row}_x": points[:, 0].round(3), f"{row}_y": points[:, 1].round(3)}
        trust[row] = trustworthiness(codes[chosen], points, n_neighbors=settings.tsne_neighbours)
    record.write_text(options.out, pd.DataFrame(columns).to_csv(index=False, lineterminator="\n"))
    inputs = {path: record.sha256(Path(path)) for path in options.codes}
    facts = {"dataset": options.dataset, "n": len(chosen), "perplexity": perplexity, "seed": settings.seed, "neighbours": settings.tsne_neighbours, "codes_sha256": inputs}
    record.write_json(options.record, {"format": record.FORMAT, "trustworthiness": trust} | facts)
    record.write_json(options.timing, {"format": record.FORMAT, "seconds": round(time.perf_counter() - started, 3)})


if __name__ == "__main__":
    main()
