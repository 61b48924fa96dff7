"""Whole-batch views: each transform agrees with torchvision's, and each image has parameters of its own."""

import pytest
import torch
import yaml
from msgspec import convert
from tiny import floats
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from latents import augment
from latents.augment import TO_YIQ, recolour, view
from latents.datasets import DATASETS
from latents.record import ROOT
from latents.settings import Augmentation

BILINEAR = InterpolationMode.BILINEAR


def seeded(seed: int = 1) -> Generator:
    return Generator().manual_seed(seed)


def smooth(dataset: str, n: int = 6) -> Tensor:
    """Pictures without hard edges, with values away from 0 and 1."""
    return 0.3 + 0.3 * functional.gaussian_blur(floats(dataset, n), [5, 5], [1.5, 1.5])


def factors(*values: float, n: int = 6) -> list[Tensor]:
    return [torch.full((n,), value) for value in values]


def shipped_augmentations() -> dict[str, tuple[str, dict]]:
    """Every set of views in a configuration file, and the data set that it is for."""
    found = {}

    def search(place: str, value: object, dataset: str) -> None:
        for key, item in value.items() if isinstance(value, dict) else ():
            name = f"{place}.{key}"
            if key in ("augmentation", "corruption", "alignment"):
                found[name] = (dataset, item)
            search(name, item, key if key in DATASETS else dataset)

    for path in sorted((ROOT / "config").glob("*.yaml")):
        search(path.stem, yaml.safe_load(path.read_text()), "mnist")
    return found


SHIPPED = shipped_augmentations()


# geometry


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_crop_is_torchvisions_crop_of_the_reflected_image(dataset: str) -> None:
    images, size = floats(dataset), DATASETS[dataset].shape[0]
    top, left = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0]), torch.tensor([6, 0, 3, 5, 1, 2, 6, 4])
    ours = augment.crop(images, top, left, 3, (size, size))
    for image, cropped, y, x in zip(images, ours, top.tolist(), left.tolist(), strict=True):
        padded = functional.pad(image, [3, 3, 3, 3], padding_mode="reflect")
        assert torch.equal(cropped, functional.crop(padded, y, x, size, size))


@pytest.mark.parametrize("border", [{}, {"pad_crop": 1}])
def test_every_smaller_crop_inside_the_border_is_drawn(border: dict[str, int]) -> None:
    image = floats("mnist", 1)
    crops = view(image.repeat(300, 1, 1, 1), Augmentation(size=27, **border), seeded())
    padded = functional.pad(image, 4 * [border.get("pad_crop", 0)], padding_mode="reflect")
    places = range(padded.shape[-1] - 26)
    expected = [functional.crop(padded, y, x, 27, 27)[0] for y in places for x in places]
    assert {tuple(part.flatten().tolist()) for part in crops} == {
        tuple(p.flatten().tolist()) for p in expected
    }


def test_every_crop_of_the_reflected_border_is_drawn() -> None:
    image = floats("mnist", 1)
    crops = view(image.repeat(200, 1, 1, 1), Augmentation(pad_crop=1), seeded())
    assert len({tuple(part.flatten().tolist()) for part in crops}) == 9


@pytest.mark.parametrize("extra", [{}, {"rotate": 1e-4}])
def test_a_flip_is_torchvisions_and_half_of_the_images_get_it(extra: dict[str, float]) -> None:
    images = smooth("cifar10", 40)
    ours = view(images, Augmentation(flip=True, **extra), seeded())
    pairs = list(zip(ours, images, strict=True))
    flipped = [torch.allclose(part, functional.horizontal_flip(image), atol=1e-3) for part, image in pairs]
    unchanged = [torch.allclose(part, image, atol=1e-3) for part, image in pairs]
    assert [not f for f in flipped] == unchanged and 10 <= sum(flipped) <= 30


@pytest.mark.parametrize(
    ("top", "left", "height", "width"), [(0, 0, 20, 24), (4, 9, 20, 16), (12, 8, 14, 18), (0, 0, 28, 28)]
)
def test_a_resized_crop_is_torchvisions_bilinear_one_inside_its_border(
    monkeypatch: pytest.MonkeyPatch, top: int, left: int, height: int, width: int
) -> None:
    images = smooth("mnist")
    box = (width / 28, height / 28, (2 * left + width) / 28 - 1, (2 * top + height) / 28 - 1)
    monkeypatch.setattr(augment, "resized_crop_boxes", lambda n, area, generator: tuple(factors(*box, n=n)))
    ours = view(images, Augmentation(resized_crop=(0.2, 1.0)), seeded())
    expected = functional.resized_crop(images, top, left, height, width, [28, 28], BILINEAR, antialias=False)
    # at the border torchvision repeats the box's last pixels, and a warp sees the neighbours outside the box
    assert (ours - expected)[:, :, 2:-2, 2:-2].abs().max() < 1e-4


def test_resized_crops_have_the_areas_and_ratios_asked_for_and_lie_inside_the_image() -> None:
    width, height, x, y = augment.resized_crop_boxes(4000, (0.25, 0.5), seeded())
    area, ratio = width * height, width / height
    assert area.min() >= 0.25 - 1e-4 and area.max() <= 0.5 + 1e-4 and abs(area.mean() - 0.375) < 0.01
    assert ratio.min() >= 3 / 4 - 1e-4 and ratio.max() <= 4 / 3 + 1e-4 and ratio.log().mean().abs() < 0.02
    for centre, side in ((x, width), (y, height)):
        assert (centre.abs() + side).max() <= 1 + 1e-5
        assert (centre.abs() / (1 - side)).mean().sub(0.5).abs() < 0.02  # evenly over all places
    assert max(side.max() for side in augment.resized_crop_boxes(4000, (0.8, 1.0), seeded())[:2]) == 1


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("angle", [-30.0, 7.5, 30.0])
def test_a_rotation_is_torchvisions(monkeypatch: pytest.MonkeyPatch, dataset: str, angle: float) -> None:
    images = smooth(dataset)
    # the only draw of a rotation
    monkeypatch.setattr(augment, "uniform", lambda n, low, high, _: torch.full((n,), angle))
    ours = view(images, Augmentation(rotate=30.0), seeded())
    assert (ours - functional.rotate(images, angle, BILINEAR)).abs().max() < 1e-3


def test_a_rotation_together_with_a_border_shifts_by_at_most_that_many_pixels() -> None:
    image = torch.zeros(300, 1, 28, 28)
    image[:, :, 14, 14] = 1
    places = view(image, Augmentation(rotate=1e-4, pad_crop=2), seeded()).flatten(1).argmax(1)
    rows, columns = places // 28 - 14, places % 28 - 14
    for shift in (rows, columns):
        assert shift.min() == -2 and shift.max() == 2


# colour


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.8])
@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("mnist", "brightness"),
        ("mnist", "contrast"),
        ("cifar10", "brightness"),
        ("cifar10", "contrast"),
        ("cifar10", "saturation"),
    ],
)
def test_a_colour_transform_is_torchvisions(dataset: str, name: str, factor: float) -> None:
    images = floats(dataset, 6)
    parameters = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0} | {name: factor}
    ours = recolour(images, *factors(*parameters.values()))
    expected = getattr(functional, f"adjust_{name}")(images, factor)
    assert (ours - expected).abs().max() < 2e-4


def test_brightness_contrast_and_saturation_follow_each_other_as_in_torchvision() -> None:
    images = smooth("cifar10")
    ours = recolour(images, *factors(1.2, 0.7, 1.3, 0.0))
    expected = functional.adjust_contrast(functional.adjust_brightness(images, 1.2), 0.7)
    expected = functional.adjust_saturation(expected, 1.3)
    assert (ours - expected).abs().max() < 2e-4


@pytest.mark.parametrize("turn", [0.1, -0.25, 0.5])
def test_a_turn_of_the_hue_keeps_the_luma_and_changes_the_colours(turn: float) -> None:
    images = smooth("cifar10")
    ours = recolour(images, *factors(1.0, 1.0, 1.0, turn))
    luma, before = (
        torch.einsum("nchw,c->nhw", part, torch.tensor([0.299, 0.587, 0.114])) for part in (ours, images)
    )
    assert (luma - before).abs().max() < 1e-4
    assert (ours - images).abs().max() > 0.01
    chroma, before = (torch.einsum("nchw,dc->ndhw", part, TO_YIQ[1:]).norm(dim=1) for part in (ours, images))
    assert (chroma - before).abs().max() < 1e-4


def test_a_full_turn_of_the_hue_is_the_identity_and_opposite_turns_cancel() -> None:
    images = smooth("cifar10")
    assert (recolour(images, *factors(1.0, 1.0, 1.0, 1.0)) - images).abs().max() < 1e-4
    there = recolour(images, *factors(1.0, 1.0, 1.0, 0.13))
    assert (recolour(there, *factors(1.0, 1.0, 1.0, -0.13)) - images).abs().max() < 1e-4


def test_grey_scaling_is_torchvisions_and_as_frequent_as_asked() -> None:
    images = floats("cifar10", 6)
    grey = view(images, Augmentation(grayscale=1.0), seeded())
    assert (grey - functional.rgb_to_grayscale(images, 3)).abs().max() < 1e-5
    many = view(images[:1].repeat(500, 1, 1, 1), Augmentation(grayscale=0.2), seeded())
    assert 60 <= (many[:, 0] == many[:, 1]).flatten(1).all(1).sum() <= 140


def test_colour_jitter_is_left_out_as_often_as_asked() -> None:
    images = floats("cifar10", 1).repeat(500, 1, 1, 1)
    settings = Augmentation(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter_probability=0.8)
    unchanged = (view(images, settings, seeded()) - images).abs().flatten(1).amax(1) < 1e-4
    assert 60 <= unchanged.sum() <= 140


def test_the_amplitudes_are_torchvisions_ranges() -> None:
    images = torch.full((2000, 1, 2, 2), 0.4)
    mean = view(images, Augmentation(brightness=0.4), seeded()).mean((1, 2, 3)) / 0.4
    assert mean.min() >= 0.6 - 1e-5 and mean.min() < 0.61 and mean.max() <= 1.4 + 1e-5 and mean.max() > 1.39


def test_noise_has_the_deviation_asked_for() -> None:
    noise = view(torch.full((50, 1, 28, 28), 0.5), Augmentation(noise=0.1), seeded()) - 0.5
    assert abs(noise.std() - 0.1) < 0.002 and abs(noise.mean()) < 0.002


# every view


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_view_stays_in_range_and_its_seed_decides_it(name: str) -> None:
    dataset, plain = SHIPPED[name]
    settings, images = convert(plain, Augmentation), floats(dataset, 4)
    before = images.clone()
    first, again, other = (view(images, settings, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(images, before)  # the batch itself is left as it was
    sides = 2 * [settings.size] if settings.size else images.shape[2:]
    assert first.shape == (*images.shape[:2], *sides) and first.isfinite().all()
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not any(plain.values()))  # a variant may switch all off


@pytest.mark.parametrize(
    "settings",
    [
        {"pad_crop": 4},
        {"resized_crop": (0.3, 0.9)},
        {"rotate": 20.0},
        {"brightness": 0.4},
        {"contrast": 0.4},
        {"saturation": 0.4},
        {"hue": 0.2},
        {"noise": 0.1},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_each_image_of_a_batch_gets_parameters_of_its_own(settings: dict) -> None:
    views = view(floats("cifar10", 1).repeat(8, 1, 1, 1), Augmentation(**settings), seeded())
    different = {tuple(part.flatten().tolist()) for part in views}
    assert len(different) >= 6  # two crops of a border may be drawn alike


def test_a_view_is_computed_in_float32_also_under_bfloat16() -> None:
    images = floats("cifar10")
    colours = {"brightness": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.5}
    settings = Augmentation(resized_crop=(0.4, 1.0), rotate=9.0, **colours)
    with torch.autocast("cpu", torch.bfloat16):
        inside = view(images, settings, seeded())
    assert inside.dtype == torch.float32 and torch.equal(inside, view(images, settings, seeded()))


def test_without_settings_a_view_is_the_image() -> None:
    images = floats("cifar10")
    assert torch.equal(view(images, Augmentation(), seeded()), images)
