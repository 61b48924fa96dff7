"""The convolutions for small maps: torch's own numbers up to rounding, torch's own count of FLOPs.

Elsewhere they are torch's own layers.
"""

import pytest
import torch
from msgspec.structs import replace
from tiny import Runs
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from latents import convolution, train
from latents.convolution import Convolution, TransposedConvolution
from latents.device import generator
from latents.model import forked
from latents.study import Run

LAYERS = {
    "3x3": (lambda: Convolution(24, 40, 3, bias=False), (24, 6)),
    "3x3 with a bias": (lambda: Convolution(24, 40, 3), (24, 3)),
    "3x3 of stride 2": (lambda: Convolution(24, 40, 3, stride=2), (24, 8)),
    "transposed": (lambda: TransposedConvolution(24, 40, 4, stride=2), (24, 4)),
}
WATCHED = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.GELU, nn.ReLU)


def gradients(layer: nn.Module, x: Tensor, *, precision: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """The layer's output and the gradients of a fixed linear function of it, by name."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        y = layer(x)
    direction = torch.randn(y.shape, generator=generator(torch.device("cpu"), 5))
    y.backward(direction.to(y.dtype).contiguous(memory_format=torch.channels_last))
    found = {"output": y.detach(), "inputs": x.grad}
    return found | {name: value.grad.clone() for name, value in layer.named_parameters()}


def batch(channels: int, side: int, n: int) -> Tensor:
    maps = torch.randn(n, channels, side, side, generator=generator(torch.device("cpu"), 6))
    return maps.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("n", [1, 5, 12, 32])  # images: alone, in one row, in rows of four, of sixteen
@pytest.mark.parametrize("kind", LAYERS)
def test_laid_side_by_side_the_gradients_are_as_near_to_the_exact_ones_as_torchs_own(
    monkeypatch: pytest.MonkeyPatch, kind: str, n: int
) -> None:
    make, (channels, side) = LAYERS[kind]
    with forked(1):
        layer = make().to(memory_format=torch.channels_last)
    x = batch(channels, side, n)
    found, used = {}, []
    inner = convolution.side_by_side
    monkeypatch.setattr(convolution, "side_by_side", lambda *arguments: used.append(1) or inner(*arguments))
    for tiles in (True, False):
        monkeypatch.setattr(convolution, "TILES", tiles)
        found[tiles] = gradients(layer, x)
        assert len(used) == 2  # with tiles, inputs and gradient; without, never
    exact = gradients(layer.double(), x.double(), precision=torch.float64)
    assert found[True].keys() == found[False].keys() == exact.keys()
    assert torch.equal(found[True]["output"], found[False]["output"])
    for name, value in exact.items():
        ours, theirs = ((found[tiles][name] - value).norm() / value.norm() for tiles in (True, False))
        assert found[True][name].dtype == found[False][name].dtype
        assert ours < 1.2 * theirs + 1e-3 and ours < 0.02


@pytest.mark.parametrize("kind", LAYERS)
def test_the_flops_are_counted_as_torch_counts_them(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make, (channels, side) = LAYERS[kind]
    with forked(1):
        layer = make()
    counts = []
    for tiles in (True, False):
        monkeypatch.setattr(convolution, "TILES", tiles)
        with FlopCounterMode(display=False) as counter:
            gradients(layer, batch(channels, side, 32))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_in_float32_on_larger_maps_and_where_widths_do_not_fit_the_stride_the_layers_are_torchs_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution, "TILES", True)
    monkeypatch.setattr(convolution, "side_by_side", lambda *_: pytest.fail("laid side by side"))
    gradients(Convolution(4, 6, 3), batch(4, 6, 16), precision=torch.float32)
    gradients(Convolution(4, 6, 3), batch(4, 9, 16))
    gradients(Convolution(4, 6, 3, stride=2), batch(4, 7, 16))
    gradients(TransposedConvolution(4, 6, 4, stride=2), batch(4, 9, 16))
    gradients(Convolution(4, 6, 5), batch(4, 6, 16))
    gradients(TransposedConvolution(4, 6, 3, stride=2), batch(4, 4, 16))
    frozen = Convolution(4, 6, 3, bias=False).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        frozen(batch(4, 6, 16).requires_grad_()).float().sum().backward()


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("method", ["autoencoder", "autoencoder-plus", "guided", "contrastive"])
def test_between_the_ends_no_layer_of_a_training_step_gets_a_map_or_a_gradient_in_the_other_layout(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, method: str, tiles: bool
) -> None:
    monkeypatch.setattr(convolution, "TILES", tiles)
    study = replace(runs.study, precision="bfloat16")
    prepared = train.prepare(study, Run("cifar10", method, 1), torch.device("cpu"))
    wrong, seen = [], []

    def looked_at(name: str, x: Tensor) -> None:
        if x.ndim == 4 and min(x.shape[1:]) > 1:
            seen.append(name)
            if not x.is_contiguous(memory_format=torch.channels_last):
                wrong.append(name)

    def watch(name: str, inputs: Tensor, output: Tensor) -> None:
        looked_at(f"{name}, its input", inputs)
        if output.requires_grad:
            output.grad_fn.register_prehook(
                lambda gradients: looked_at(f"{name}, its gradient", gradients[0])
            )

    for name, layer in prepared.model.named_modules():
        if isinstance(layer, WATCHED):
            layer.register_forward_hook(lambda _, inputs, output, name=name: watch(name, inputs[0], output))
    prepared.loss(torch.arange(8), generator(torch.device("cpu"), 1)).backward()
    # a view comes as its warp leaves it, and the gradient of an L1 loss in torch's default layout
    ends = {
        "encoder.whiten, its input",
        "decoder.to_pixels.layer, its gradient",
        "gradients.layers.1.layer, its gradient",
    }
    assert len(seen) > 10 and set(wrong) <= ends
