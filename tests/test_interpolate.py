"""Interpolation: straight lines with both ends, their relative lengths, and changes of the class."""

import math

import pytest
import torch
from torch import Tensor

from latents.interpolate import STEPS, arc, class_changes, line, path_length

torch.set_num_threads(1)


def ends(n: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.rand(n, 3, 8, 8, generator=random), torch.rand(n, 3, 8, 8, generator=random)


@pytest.mark.parametrize("shape", [(128,), (3, 8, 8)])
def test_a_line_has_ten_even_steps_from_one_end_to_the_other(shape: tuple[int, ...]) -> None:
    starts, stops = torch.randn(5, *shape), torch.randn(5, *shape)
    points = line(starts, stops)
    assert points.shape == (5, STEPS, *shape) and STEPS == 10
    assert torch.equal(points[:, 0], starts) and torch.equal(points[:, -1], stops)
    steps = points[:, 1:] - points[:, :-1]
    assert (steps - ((stops - starts) / 9).unsqueeze(1)).abs().max() < 1e-5


def test_points_on_an_arc_are_at_even_angles_and_keep_the_length_of_equally_long_ends() -> None:
    starts, stops = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    points = arc(starts, stops)
    assert points.shape == (2, STEPS, 2)
    assert torch.allclose(points[:, 0], starts, atol=1e-5) and torch.allclose(points[:, -1], stops, atol=1e-5)
    angles = torch.atan2(points[0, :, 1], points[0, :, 0])
    assert torch.allclose(angles, torch.linspace(0, math.pi / 2, STEPS), atol=1e-5)
    assert torch.allclose(points[0].norm(dim=1), torch.full((STEPS,), 2.0), atol=1e-5)


def test_between_codes_of_one_direction_an_arc_is_the_straight_line() -> None:
    a = torch.randn(3, 128, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(arc(a, 2 * a), line(a, 2 * a), atol=1e-3)
    assert arc(a, -a).isfinite().all() and torch.allclose(arc(a, a), line(a, a), atol=1e-3)


def test_a_straight_line_of_pixels_has_length_1() -> None:
    assert path_length(line(*ends())) == pytest.approx(1, abs=1e-5)


def test_a_detour_has_the_length_of_its_legs_over_the_straight_way() -> None:
    corner = torch.zeros(2, 3, 1, 1, 2)  # along one side of a square, then along the other
    corner[:, 1:, ..., 0] = 1
    corner[:, 2, ..., 1] = 1
    assert path_length(corner) == pytest.approx(2 / math.sqrt(2), rel=1e-5)
    straight = corner.clone()
    straight[:, 1] = 0.5 * straight[:, 2]
    mean = (math.sqrt(2) + 1) / 2  # over pairs
    assert path_length(torch.cat([corner, straight])) == pytest.approx(mean, rel=1e-5)


def test_the_length_of_a_path_does_not_depend_on_contrast() -> None:
    a, b = ends()
    bent = line(a, b) + torch.sin(torch.linspace(0, math.pi, STEPS)).view(1, STEPS, 1, 1, 1)
    assert path_length(0.1 * bent) == pytest.approx(path_length(bent), rel=1e-4) and path_length(bent) > 1.05


def test_a_path_between_two_equal_images_has_a_finite_length() -> None:
    a, _ = ends()
    assert math.isfinite(path_length(line(a, a)))


def test_changes_are_counted_along_paths_whose_two_ends_are_classified_correctly() -> None:
    predicted = torch.tensor([
        [1, 1, 1, 2, 2],  # one change
        [1, 3, 1, 3, 2],  # four
        [1, 2, 2, 2, 2],  # the start is classified as 1, but is a 7
        [1, 1, 1, 1, 1],  # the end is classified as 1, but is a 2
        [0, 0, 0, 0, 0],  # none
    ])  # fmt: skip
    labels = torch.tensor([[1, 2], [1, 2], [7, 2], [1, 2], [0, 0]])
    changes, counted = class_changes(predicted, labels)
    assert (changes, counted) == (pytest.approx((1 + 4 + 0) / 3), 3)


def test_without_a_pair_that_is_classified_correctly_there_is_no_number() -> None:
    predicted, labels = torch.zeros(3, STEPS, dtype=torch.long), torch.ones(3, 2, dtype=torch.long)
    assert class_changes(predicted, labels) == (None, 0)
