"""Linear CKA between the codes of all runs and seeds of a data set, on the same test images (Kornblith et al. 2019).

    python -m latents.similarity --config config/study.yaml --dataset mnist --samples results/samples/mnist/*/*.npz --out cka.csv
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from latents import config, record
from latents.tsne import read_codes


def hsic(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion of Gram matrices [n, n], n > 3 (Song et al. 2012, equation 5)."""
    n = len(a)
    a, b = (gram - np.diag(np.diag(gram)) for gram in (a, b))
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a.sum(0) @ b.sum(0))
    return float(((a * b).sum() + sums) / (n * (n - 3)))


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment of codes [n, p] and [n, q] of the same images: 1 for a rotation or scaling, about 0 for chance.

    By the unbiased estimate, so that it does not grow with p / n (Nguyen et al. 2021, arXiv 2010.15327).
    """
    a, b = (part @ part.T for part in (a.astype(np.float64) - a.mean(0, dtype=np.float64), b.astype(np.float64) - b.mean(0, dtype=np.float64)))
    return hsic(a, b) / (hsic(a, a) * hsic(b, b)) ** 0.5


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "dataset", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--samples", nargs="+", required=True, help="files named .../<run>/seed<k>.npz")
    options = parser.parse_args()
    config.read(options.config).dataset(options.dataset)
    cells = {(Path(path).parent.name, int(Path(path).stem.removeprefix("seed"))): read_codes(path, "codes")[0] for path in options.samples}
    rows = [(*first, *second, round(linear_cka(a, b), 6)) for (first, a), (second, b) in itertools.combinations(cells.items(), 2)]
    table = pd.DataFrame(rows, columns=["run_a", "seed_a", "run_b", "seed_b", "cka"])
    record.write_text(options.out, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
