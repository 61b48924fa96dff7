"""Linear CKA between the test codes of all runs and seeds of a data set (Kornblith et al. 2019).

    python -m latents.similarity --config config/study.yaml --dataset mnist --codes results/codes/mnist/*/*.npz --out cka.csv
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from latents import config, record
from latents.tsne import read_codes


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment of codes [n, p] and [n, q] of the same images; in [0, 1], 1 for a rotation or scaling."""
    a, b = (part.astype(np.float64) - part.mean(0, dtype=np.float64) for part in (a, b))
    cross = np.linalg.norm(a.T @ b) ** 2
    return float(cross / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "dataset", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--codes", nargs="+", required=True, help="files named .../<run>/seed<k>.npz")
    options = parser.parse_args()
    config.read(options.config).dataset(options.dataset)
    cells = {(Path(path).parent.name, int(Path(path).stem.removeprefix("seed"))): read_codes(path, "test")[0] for path in options.codes}
    rows = [(*first, *second, round(linear_cka(a, b), 6)) for (first, a), (second, b) in itertools.combinations(cells.items(), 2)]
    table = pd.DataFrame(rows, columns=["run_a", "seed_a", "run_b", "seed_b", "cka"])
    record.write_text(options.out, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
