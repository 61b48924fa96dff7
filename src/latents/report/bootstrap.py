"""Is one method above another? A hierarchical bootstrap over seeds and test images, and corrected p-values.

Seeds are resampled for each method, or for both alike where they are paired, test images for both methods
alike, and the methods' means compared. Resampling k of k seeds spreads too little, so the part of the seeds
is stretched by sqrt(k / (k - 1)). The 95 % interval and the two-sided p are Student's, since a few seeds
estimate their own spread poorly, at the degrees of freedom of Satterthwaite's approximation (1946). With one
seed for each method only the images are resampled.
"""

import functools

import numpy as np


@functools.cache
def image_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of n images is drawn [resamples, n]: the same for all methods and claims."""
    random = np.random.default_rng(seed)
    return random.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float32)


def differences(parts: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """Bootstrapped differences of means [resamples] of two methods [seeds, n] over the same n images.

    One part alone holds the differences of paired seeds.
    """
    random = np.random.default_rng([seed, 1])  # of seeds
    n = parts[0].shape[1]
    counts, means = image_counts(n, resamples, seed), []
    for values in parts:
        k = len(values)
        of_seeds = (counts @ values.T.astype(np.float32)).astype(np.float64) / n  # [resamples, k]
        mean = of_seeds.mean(1)
        chosen = np.take_along_axis(of_seeds, random.integers(k, size=of_seeds.shape), 1).mean(1)
        means.append(mean + (chosen - mean) * (k / max(1, k - 1)) ** 0.5)
    return means[0] - sum(means[1:])


def freedom(parts: list[np.ndarray], error: float) -> float:
    """Satterthwaite's degrees of freedom of a difference with this error; `parts` as in `differences`.

    The images are many and take none.
    """
    several = [values for values in parts if len(values) > 1]
    of_seeds = sum((one.mean(1).var(ddof=1) / len(one)) ** 2 / (len(one) - 1) for one in several)
    return error**4 / of_seeds if of_seeds else np.inf


def estimated(pair: list[np.ndarray], resamples: int, seed: int, *, paired: bool = False) -> dict[str, float]:
    """Difference of the means of two methods [seeds, n], its interval and p; `paired`: seed by seed."""
    from scipy.stats import t  # here: `verify` uses `holm`, and prints a verdict without scipy

    difference = float(pair[0].mean() - pair[1].mean())
    parts = [pair[0] - pair[1]] if paired else pair
    error = float(differences(parts, resamples, seed).std(ddof=1))
    degrees = freedom(parts, error)
    half = float(t.isf(0.025, degrees)) * error
    p = float(2 * t.sf(abs(difference) / error, degrees)) if error else float(difference == 0)
    return {"difference": difference, "low": difference - half, "high": difference + half, "p": p}


def holm(values: list[float]) -> list[float]:
    """Holm's correction (1979) of p-values, in their order."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected
