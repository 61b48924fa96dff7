"""Neighbours: one image of each class, the same for every method, and the images nearest by its code."""

import io

import numpy as np
import pytest
from msgspec.structs import replace
from tiny import Runs

from latents.evaluate import evaluate, neighbour_pictures
from latents.study import REFERENCE_CLASSIFIER, Run
from latents.subject import Measured, Subject, subject_of

NAMES = {"queries", "neighbours", "similarities", "query_labels", "neighbour_labels"}


def shown(runs: Runs, method: str) -> tuple[dict[str, np.ndarray], Subject]:
    """The neighbours by a method's codes of test images, and these codes with their images and labels."""
    run, model = Run("mnist", method, 1), runs.trained(method).model
    subject = subject_of(runs.study, run, model, Measured(), final=True)
    return neighbour_pictures(subject, "test"), subject


def test_neighbours_are_the_nearest_by_the_cosine_of_centred_codes(runs: Runs) -> None:
    pictures, subject = shown(runs, "random")
    codes = {name: part.numpy() for name, part in subject.codes.items()}
    labels = subject.labels["test"].numpy()
    unit = codes["test"] - codes["train"].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for label, query in enumerate(pictures["query_indices"]):
        assert labels[query] == pictures["query_labels"][label] == label
        similarity = unit @ unit[query]
        others = np.array([k for k in np.argsort(-similarity) if k != query])[:3]
        assert pictures["neighbour_indices"][label].tolist() == others.tolist()
        assert pictures["similarities"][label] == pytest.approx(similarity[others], abs=1e-5)
        assert pictures["neighbour_labels"][label].tolist() == labels[others].tolist()


def test_the_queries_are_those_of_every_method_and_only_first_seeds_have_them(runs: Runs) -> None:
    one, other = (shown(runs, method)[0] for method in ("random", "pca"))
    assert np.array_equal(one["queries"], other["queries"]) and one["queries"].shape == (10, 28, 28, 1)
    assert one["neighbours"].shape == (10, 3, 28, 28, 1)
    classifier = runs.trained(REFERENCE_CLASSIFIER, 8001).model
    for seed, names in ((1, NAMES), (2, set())):
        model = runs.trained("random", seed).model
        files = evaluate(runs.study, Run("mnist", "random", seed), model, classifier, final=False)[1]
        assert NAMES & dict(np.load(io.BytesIO(files["pictures"]))).keys() == names


def test_an_evaluation_is_repeated_where_its_seed_becomes_the_first(runs: Runs) -> None:
    dataset = runs.study.datasets["mnist"]
    swapped = replace(runs.study, datasets={"mnist": replace(dataset, seeds=dataset.seeds[::-1])})
    for seed in dataset.seeds:
        run = Run("mnist", "random", seed)
        assert runs.study.measuring(run) != swapped.measuring(run)
    none = {"neighbours": 0, "bits": (), "noise": (), "features_share": 0.0}
    older = replace(runs.study, measurement=replace(runs.study.measurement, **none))
    assert "first" not in older.measuring(Run("mnist", "random", 1))
