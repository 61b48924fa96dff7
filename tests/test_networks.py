"""The networks: codes of 128 numbers, pixels in their own range, and nothing beside the code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from tiny import Runs, floats, same, state, with_settings
from torch import Tensor, nn
from torch.nn import functional

from latents import data, networks, train
from latents.datasets import DATASETS
from latents.datasets.spec import Shape
from latents.methods import METHODS
from latents.methods.baselines import PCA
from latents.methods.exp1_autoencoder import PlainDecoder
from latents.model import build
from latents.networks import Decoder, Encoder
from latents.settings import CODE_SIZE
from latents.study import REFERENCE_CLASSIFIER, Run

SHARING = ("random", "autoencoder-plus", "vae", "guided", "contrastive", "supcon")  # one encoder
DECODING = ("autoencoder", "autoencoder-plus", "vae", "split", "joint")
CHANNELS = (4, 4, 4)
DECODERS: dict[str, Callable[[Shape], nn.Module]] = {
    "residual": lambda shape: Decoder(shape, 4, linear_path=False),
    "residual-linear": lambda shape: Decoder(shape, 4, linear_path=True),
    "plain": lambda shape: PlainDecoder(shape, CHANNELS, linear_path=False),
    "plain-linear": lambda shape: PlainDecoder(shape, CHANNELS, linear_path=True),
}


def zeroed(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module.eval()


# codes


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", [*METHODS, REFERENCE_CLASSIFIER])
def test_the_code_is_one_float32_vector_of_128_numbers_also_under_bfloat16(
    runs: Runs, dataset: str, method: str
) -> None:
    encoder = build(runs.study, Run(dataset, method, 1)).encoder.eval()
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            codes = encoder(floats(dataset))
        assert codes.shape == (8, CODE_SIZE) and codes.dtype == torch.float32


def test_the_linear_layer_to_the_code_is_computed_in_float32_under_bfloat16() -> None:
    bare = nn.Linear(300, CODE_SIZE)
    x = torch.rand(8, 300)
    with torch.autocast("cpu", torch.bfloat16):
        assert bare(x).dtype == torch.bfloat16  # the bare layer loses digits here
        inside = networks.Float32(bare)(x)
    assert torch.equal(inside, bare(x))


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_methods_share_one_encoder_with_the_same_first_weights(runs: Runs, dataset: str) -> None:
    encoders = {method: state(build(runs.study, Run(dataset, method, 1)).encoder) for method in SHARING}
    with_path = set()
    for method, weights in encoders.items():
        path = {name for name in weights if name.startswith("linear.")}
        with_path |= {method} if path else set()
        others = {name: value for name, value in weights.items() if name not in path}
        assert same(others, encoders["random"])
    assert with_path == {"autoencoder-plus"}  # its linear path is all that it has beside


def test_a_view_of_any_allowed_size_gives_a_code() -> None:
    encoder = Encoder(DATASETS["cifar10"].shape, (4, 4, 8)).eval()
    shapes = [encoder(torch.rand(2, 3, side, side)).shape for side in range(17, 33)]
    assert shapes == 16 * [(2, CODE_SIZE)]


@pytest.mark.parametrize("size", [16, 256])
@pytest.mark.parametrize("method", ["autoencoder-plus", "contrastive"])
def test_a_code_of_another_size_is_encoded_and_decoded_and_starts_at_as_many_components(
    runs: Runs, method: str, size: int
) -> None:
    study = with_settings(runs.study, "mnist", method, code_size=size)
    model, images = build(study, Run("mnist", method, 1)), floats("mnist")
    model.fit((images * 255).round().byte())
    assert model.eval().encoder(images).shape == (8, size)
    if model.decodes:
        assert model.decode(model.encoder(images)).shape == images.shape


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_two_by_two_map_is_enlarged_by_linear_interpolation_in_its_own_layout(
    layout: torch.memory_format,
) -> None:
    features = torch.rand(5, 8, 2, 2, generator=torch.Generator().manual_seed(1)).to(memory_format=layout)
    ours = networks.enlarged(features)
    theirs = functional.interpolate(features, size=(3, 3), mode="bilinear", align_corners=True)
    assert torch.allclose(ours, theirs, atol=1e-6) and ours.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(("dataset", "side"), [("mnist", 27), ("cifar10", 31)])
def test_the_first_layers_keep_the_resolution_without_stride_or_pool(dataset: str, side: int) -> None:
    encoder = Encoder(DATASETS[dataset].shape, (4, 4, 8))
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    sides = {}
    for place, module in enumerate(convolutions[:2]):

        def look(_: nn.Module, inputs: tuple[Tensor], output: Tensor, place: int = place) -> None:
            sides[place] = inputs[0].shape[-1], output.shape[-1]

        module.register_forward_hook(look)
    encoder(floats(dataset))
    assert sides == {0: (side + 1, side), 1: (side, side)}
    assert all(module.stride == (1, 1) for module in convolutions)


def test_standardisation_gives_the_fitted_images_mean_zero_and_deviation_one_in_each_channel() -> None:
    images = floats("cifar10", 30) * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)
    layer = networks.Standardise(3)
    layer.fit(images)
    standard = layer(images)
    assert standard.mean((0, 2, 3)).abs().max() < 1e-5
    assert (standard.std((0, 2, 3)) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_the_whitening_layer_gives_patches_unit_variance_and_no_correlation_in_both_signs(
    channels: int,
) -> None:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(channels, channels, generator=generator)
    images = torch.randn(40, channels, 12, 12, generator=generator)
    images = torch.einsum("ij,njhw->nihw", mixing, images)
    images = images + images.roll(1, 3)  # neighbours are alike
    layer = networks.Whitening(channels)
    with torch.no_grad():
        layer.fit(images, epsilon=0.0)
        white = layer(images)
    half = 4 * channels
    assert torch.equal(white[:, half:], -white[:, :half])
    covariance = torch.cov(white[:, :half].transpose(0, 1).flatten(1))
    assert (covariance - torch.eye(half)).abs().max() < 1e-3
    assert not layer.weight.requires_grad


# PCA


def test_pca_has_scikit_learns_components_up_to_sign_and_its_reconstruction() -> None:
    pixels = torch.from_numpy(np.random.default_rng(1).gamma(0.5, 0.3, (300, 12, 12, 1)))
    pixels = pixels.clamp(0, 1).mul(255).byte().permute(0, 3, 1, 2)
    images = pixels.float().div(255)
    ours = PCA((12, 12, 1))
    ours.fit(pixels)
    reference = ReferencePCA(CODE_SIZE, svd_solver="full").fit(images.flatten(1).double().numpy())
    agreement = np.abs((ours.components.double().numpy() * reference.components_).sum(1))
    assert (agreement > 1 - 1e-5).all()
    codes = ours(images)
    expected = reference.transform(images.flatten(1).numpy())
    assert np.abs(np.abs(codes.numpy()) - np.abs(expected)).max() < 1e-4
    reconstructed = reference.inverse_transform(expected).clip(0, 1)
    assert np.abs(ours.decode(codes).flatten(1).numpy() - reconstructed).max() < 1e-4


@pytest.mark.parametrize("residual", [True, False])
def test_the_linear_paths_start_as_pca_and_reconstruct_as_it_does_before_the_first_step(
    runs: Runs, residual: bool
) -> None:
    study = with_settings(runs.study, "mnist", "autoencoder-plus", residual_decoder=residual)
    model = build(study, Run("mnist", "autoencoder-plus", 1))
    assert isinstance(model.decoder, Decoder if residual else PlainDecoder)
    pixels = floats("mnist", 200)
    images = (pixels * 255).round().byte()
    pca = PCA(DATASETS["mnist"].shape)
    pca.fit(images)
    model.fit(images)
    others = floats("mnist", 20, seed=6)
    with torch.no_grad():
        codes = model.encoder(others)
        assert (model.decoder(codes) - pca.decode(pca(others))).abs().max() < 1e-4
        scale = pca(others) / codes  # one number: the geometry is PCA's
        assert (scale / scale.median() - 1).abs().quantile(0.9) < 1e-2
        assert 0.9 < model.encoder(pixels).std(0).square().mean().sqrt() < 1.1


@pytest.mark.parametrize("method", ["guided", "contrastive"])
def test_other_methods_may_have_a_linear_path_which_starts_at_pca_too(runs: Runs, method: str) -> None:
    study = with_settings(runs.study, "mnist", method, linear_path=1.0, early=None)
    model = build(study, Run("mnist", method, 1))
    images = (floats("mnist", 200) * 255).round().byte()
    pca = PCA(DATASETS["mnist"].shape)
    pca.fit(images)
    model.fit(images)
    with torch.no_grad():
        scale = pca(floats("mnist", 20)) / model.encoder(floats("mnist", 20))
    assert (scale / scale.median() - 1).abs().quantile(0.9) < 1e-2


def test_a_frozen_encoder_keeps_the_code_of_pca_while_its_decoder_learns(runs: Runs, tmp_path: Path) -> None:
    study = with_settings(runs.study, "mnist", "autoencoder-plus", frozen_encoder=True)
    model = train.train(study, Run("mnist", "autoencoder-plus", 1), tmp_path / "checkpoint").model
    images = torch.from_numpy(data.load(study, "mnist", with_test=False).train.images)
    pca = PCA(DATASETS["mnist"].shape)
    pca.fit(images)
    with torch.no_grad():
        codes, expected = model.encoder(images / 255), pca(images / 255)
        scale = expected.std() / codes.std()
        assert (codes * scale - expected).abs().max() < 1e-3
        assert (model.decode(codes) - pca.decode(expected)).abs().max() > 1e-3


# decoders


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_stays_in_the_pixels_range_whatever_the_code(name: str, dataset: str) -> None:
    height, width, channels = DATASETS[dataset].shape
    codes = 300 * torch.randn(16, CODE_SIZE, generator=torch.Generator().manual_seed(1))
    decoded = DECODERS[name](DATASETS[dataset].shape)(codes)
    assert decoded.shape == (16, channels, height, width)
    assert decoded.min() == 0 and decoded.max() == 1


@pytest.mark.parametrize("name", ["residual-linear", "plain-linear"])
def test_a_decoder_can_reach_an_original_image_exactly(name: str) -> None:
    original = floats("mnist", 1).round(decimals=1)
    original[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    decoder = zeroed(DECODERS[name](DATASETS["mnist"].shape))
    with torch.no_grad():
        decoder.linear[0].layer.bias.copy_(original.flatten())
        assert torch.equal(decoder(torch.randn(1, CODE_SIZE)), original)


def test_a_pixel_outside_the_range_is_clamped_and_still_learns() -> None:
    x = torch.tensor([-3.7, 0.25, 41.3], requires_grad=True)
    networks.clamp(x).sum().backward()
    assert networks.clamp(x).tolist() == [0, 0.25, 1] and x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("method", DECODING)
def test_only_the_code_passes_from_encoder_to_decoder(runs: Runs, method: str) -> None:
    model = runs.trained(method).model
    given = []
    handle = model.decoder.register_forward_pre_hook(
        lambda _, arguments, named: given.append((arguments, named)), with_kwargs=True
    )
    with torch.no_grad():
        first = model.decode(model.encoder(floats("mnist"))).clone()
        codes = model.encoder(floats("mnist"))
        model.encoder(floats("mnist", seed=6))  # were anything passed beside the code, it would be of these
        again = model.decode(codes)
    handle.remove()
    assert torch.equal(first, again)
    assert len(given) == 2
    for arguments, named in given:
        assert [argument.shape for argument in arguments] == [(8, CODE_SIZE)] and not named


def test_pca_and_the_autoencoders_decode_and_the_other_methods_do_not(runs: Runs) -> None:
    decoding = [method for method in METHODS if build(runs.study, Run("mnist", method, 1)).decodes]
    assert decoding == ["pca", *DECODING]
