"""Convolutions with a faster weight gradient on processors with matrix tiles (AMX).

oneDNN computes this gradient one row of pixels at a time, with 32 pixels to a tile, so that maps of 3 to 8
pixels a side leave the tiles nearly empty. Here the maps of 16 images are first laid side by side. The sums
have the same terms, in another order. On other processors and devices, in float32, and for larger maps, the
layers are torch's own.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight
from torch.utils.flop_counter import register_flop_formula

TILES = torch.cpu.get_capabilities().get("amx_bf16", False)
WIDEST = 8  # largest width in pixels of the smaller of a layer's two maps
TOGETHER = 16  # most images side by side
PADDING = 1  # of all layers in this module


def side_by_side(maps: Tensor, together: int, gap: int) -> Tensor:
    """Maps [n, c, h, w] as [n / together, c, h, together * (w + gap)], channels last.

    Each map is followed by `gap` columns of zeros on its right.
    """
    n, channels, height, width = maps.shape
    rows = maps.new_zeros(n // together, height, together, width + gap, channels)
    rows[:, :, :, :width] = maps.permute(0, 2, 3, 1).unflatten(0, (-1, together)).transpose(1, 2)
    return rows.flatten(2, 3).permute(0, 3, 1, 2)


@torch.library.custom_op("latents::weight_gradient", mutates_args=())
def weight_gradient(large: Tensor, small: Tensor, kernel: int, stride: int) -> Tensor:
    """Gradient [b, a, kernel, kernel] of a convolution's weights.

    `large` [n, a, h, w] is the input and `small` [n, b, h / stride, w / stride] the gradient of the output;
    for a transposed convolution it is the other way round. w must be a multiple of the stride.
    """
    together = math.gcd(len(small), TOGETHER)
    shape = (small.shape[1], large.shape[1], kernel, kernel)
    return conv2d_weight(
        side_by_side(large, together, stride), shape, side_by_side(small, together, 1), stride, PADDING
    )


@register_flop_formula(torch.ops.latents.weight_gradient)
def flops(large: Any, small: Any, kernel: int, stride: int, **_: Any) -> int:
    """The count that torch gives for the same gradient: the zeros between images do not count."""
    return 2 * math.prod(small) * large[1] * kernel**2


class Convolve(torch.autograd.Function):
    """A convolution, or a transposed one, with `weight_gradient` in its backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.transposed = stride, transposed
        return (functional.conv_transpose2d if transposed else functional.conv2d)(
            x, weight, bias, stride, PADDING
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        before = None
        if ctx.needs_input_grad[0]:
            if ctx.transposed:
                before = functional.conv2d(gradient, weight, None, ctx.stride, PADDING)
            else:
                before = conv2d_input(x.shape, weight, gradient, ctx.stride, PADDING)
        large, small = (gradient, x) if ctx.transposed else (x, gradient)
        weights = (
            weight_gradient(large, small, weight.shape[2], ctx.stride) if ctx.needs_input_grad[1] else None
        )
        bias = gradient.sum((0, 2, 3), dtype=torch.float32) if ctx.needs_input_grad[2] else None
        return before, weights, bias, None, None


def pays(x: Tensor, small: int, large: int, stride: int) -> bool:
    """Whether the maps of a layer on x, of these widths, can be laid side by side and this is faster."""
    return (
        TILES
        and x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and small <= WIDEST
        and small * stride == large
    )


class Convolution(nn.Conv2d):
    """nn.Conv2d with square kernels and padding 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, PADDING, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        width, kernel, stride = x.shape[3], self.kernel_size[0], self.stride[0]
        if pays(x, (width + 2 * PADDING - kernel) // stride + 1, width, stride):
            return Convolve.apply(x.bfloat16(), self.weight.bfloat16(), self.bias, stride, False)
        return super().forward(x)


class TransposedConvolution(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with square kernels and padding 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, PADDING)

    def forward(self, x: Tensor) -> Tensor:
        width, kernel, stride = x.shape[3], self.kernel_size[0], self.stride[0]
        if pays(x, width, (width - 1) * stride - 2 * PADDING + kernel, stride):
            return Convolve.apply(x.bfloat16(), self.weight.bfloat16(), self.bias, stride, True)
        return super().forward(x)
