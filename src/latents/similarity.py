"""Linear CKA between the codes of all runs of a data set, on the same test images (Kornblith et al. 2019).

    python -m latents.similarity --config config/study.yaml --dataset mnist \
        --samples results/samples/mnist/*/*.npz --out cka.csv

writes one line (run_a, seed_a, run_b, seed_b, cka) for each pair of runs.
"""

import itertools
from pathlib import Path

import numpy as np

from latents import cli, config, record
from latents.cli import Problem
from latents.tsne import read_codes


def hsic(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion of Gram matrices [n, n], n > 3.

    Song et al. 2012, equation 5.
    """
    n = len(a)
    a, b = (gram - np.diag(np.diag(gram)) for gram in (a, b))
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a.sum(0) @ b.sum(0))
    return float(((a * b).sum() + sums) / (n * (n - 3)))


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment of codes [n, p] and [n, q] of the same images.

    1 for codes that differ by a rotation or scaling, about 0 for unrelated codes. The unbiased estimate does
    not grow with p / n (Nguyen et al. 2021, arXiv 2010.15327). Raises ValueError for codes that do not vary.
    """
    a, b = (
        part @ part.T
        for part in (
            a.astype(np.float64) - a.mean(0, dtype=np.float64),
            b.astype(np.float64) - b.mean(0, dtype=np.float64),
        )
    )
    own = hsic(a, a), hsic(b, b)
    if min(own) <= 0:  # possible for an estimate when codes hardly vary
        raise ValueError("codes that do not vary cannot be compared")
    return hsic(a, b) / (own[0] * own[1]) ** 0.5


def read_samples(paths: list[str]) -> dict[tuple[str, int], np.ndarray]:
    """(method, seed) -> codes float16 [n, d] of the same images.

    Raises Problem naming a file that is broken or has codes of other images.
    """
    found, first = {}, None
    for path in paths:
        codes, indices = read_codes(path, "codes", "indices")
        first = indices if first is None else first
        if not np.array_equal(indices, first):
            raise Problem(f"{path}: codes of other images than {paths[0]}; delete both and run again")
        if not np.isfinite(codes).all():
            raise Problem(
                f"{path}: holds codes beyond the range of half precision; "
                "train its run again at a lower learning-rate"
            )
        found[Path(path).parent.name, int(Path(path).stem.removeprefix("seed"))] = codes
    return found


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "dataset", "out")
    parser.add_argument("--samples", nargs="+", required=True, help="files named .../<method>/seed<k>.npz")
    options = parser.parse_args()
    config.read(options.config).dataset(options.dataset)
    samples, lines = read_samples(options.samples), []
    for (first, a), (second, b) in itertools.combinations(samples.items(), 2):
        try:
            lines.append((*first, *second, round(linear_cka(a, b), 6)))
        except ValueError as error:
            one, other = (f"{method}/seed{seed}" for method, seed in (first, second))
            raise Problem(f"{options.dataset}: {one} and {other}: {error}; train the run again") from None
    record.write_csv(options.out, ("run_a", "seed_a", "run_b", "seed_b", "cka"), lines)


if __name__ == "__main__":
    main()
