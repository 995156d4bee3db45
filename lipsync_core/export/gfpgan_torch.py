"""GFPGAN's "clean" network as a torch module, for importing checkpoints and for tests; no job needs it.

Architecture: Wang et al. 2021, "Towards Real-World Blind Face Restoration with Generative Facial Prior": a U-Net
takes the damaged face, and its feature maps steer a StyleGAN2 decoder (Karras et al. 2020, "Analyzing and
Improving the Image Quality of StyleGAN"). Names and shapes of the layers are those of the published v1.3 and v1.4
checkpoints. Two groups of their weights are unused and left out here: the style mapping of StyleGAN2, which this
decoder bypasses, and the layers that paint the U-Net's pictures for its training losses.

Three things are computed otherwise than in the public implementation, with the same results but for rounding. Styles
scale the input and the output of a convolution instead of its weights, so that the weights stay constant. Halving by
bilinear interpolation is the mean of 2 x 2 pixels. A 1 x 1 convolution comes before doubling, not after it.

The noise that StyleGAN2 adds for texture is the checkpoint's own, fixed one (`noises`), as in the public
implementation with `randomize_noise=False`: fresh noise on every frame would make a video flicker.

The picture's upper rows can be left out. The rows that a cut spoils (the one at the cut, in each convolution and
doubling) are computed and dropped, so the remaining rows hold the same numbers as those of the whole picture.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

PICTURE_PX = 512
STYLE_LENGTH = 512
_WIDEST = 512  # channels of the decoder at 64 px and below
_FULL_WIDTH_PX = 64
_CONSTANT_PX = 4  # side of the feature map that the decoder starts from
_SLOPE = 0.2  # of all leaky ReLUs
_SPOILT_ROWS = 3  # at a cut, in one level: by the doubling and two 3 x 3 convolutions
_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class LevelRows:
    """The rows that one level of the network, at its own size, computes and hands on."""

    computed: int  # the first row that is computed
    kept: int  # the first row that is right, and handed on


def level_rows(first_row: int, picture_px: int = PICTURE_PX) -> tuple[LevelRows, ...]:
    """The rows of the levels of 8, 16, ..., `picture_px` px for the picture's rows from `first_row` on.

    Raises:
        ValueError: `first_row` is not in the picture.
    """
    if not 0 <= first_row < picture_px:
        raise ValueError(f"first row is {first_row}, not in 0..{picture_px - 1}")
    levels: list[LevelRows] = []
    kept, side_px = first_row, picture_px
    while side_px > _CONSTANT_PX:
        side_px //= 2
        # The first row that the smaller level must get right; the smallest one is never cut.
        below = max(0, (kept - _SPOILT_ROWS) // 2) if side_px > _CONSTANT_PX else 0
        levels.append(LevelRows(2 * below, kept))
        kept = below
    return tuple(reversed(levels))


class DownBlock(nn.Module):
    """Residual block that halves the size."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels[0], channels[0], 3, padding=1)
        self.conv2 = nn.Conv2d(*channels, 3, padding=1)
        self.skip = nn.Conv2d(*channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h / 2, w / 2)."""
        inner = functional.avg_pool2d(_leaky(self.conv1(x)), 2)  # (B, C, h / 2, w / 2)
        inner = _leaky(self.conv2(inner))  # (B, C', h / 2, w / 2)
        shortcut: Tensor = self.skip(functional.avg_pool2d(x, 2))  # (B, C', h / 2, w / 2)
        return inner + shortcut


class UpBlock(nn.Module):
    """Residual block that doubles the size."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels[0], channels[0], 3, padding=1)
        self.conv2 = nn.Conv2d(*channels, 3, padding=1)
        self.skip = nn.Conv2d(*channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', 2 h, 2 w)."""
        inner = _doubled(_leaky(self.conv1(x)))  # (B, C, 2 h, 2 w)
        inner = _leaky(self.conv2(inner))  # (B, C', 2 h, 2 w)
        return inner + _doubled(self.skip(x))


class ModulatedConv(nn.Module):
    """A convolution whose input channels are weighed by a style, and its output brought back to unit energy."""

    def __init__(self, channels: tuple[int, int], kernel: int, is_demodulated: bool) -> None:
        super().__init__()
        self.modulation = nn.Linear(STYLE_LENGTH, channels[0])
        self.weight = nn.Parameter(torch.zeros(1, channels[1], channels[0], kernel, kernel))
        self.is_demodulated = is_demodulated
        self.padding = kernel // 2

    def forward(self, x: Tensor, style: Tensor, is_doubling: bool = False) -> Tensor:
        """(B, C, h, w), (B, 512) -> (B, C', h, w), or (B, C', 2 h, 2 w)."""
        scale = self.modulation(style)[:, :, None, None]  # (B, C, 1, 1)
        x = x * scale
        x = _doubled(x) if is_doubling else x
        kernel = self.weight[0]  # (C', C, k, k)
        x = functional.conv2d(x, kernel, padding=self.padding)  # (B, C', h', w')
        if not self.is_demodulated:
            return x
        energy = functional.conv2d(scale.square(), kernel.square().sum((2, 3), keepdim=True))  # (B, C', 1, 1)
        return x * torch.rsqrt(energy + _EPSILON)


class StyleConv(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU."""

    def __init__(self, channels: tuple[int, int], is_doubling: bool) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(channels, 3, is_demodulated=True)
        self.weight = nn.Parameter(torch.zeros(1))  # of the noise
        self.bias = nn.Parameter(torch.zeros(1, channels[1], 1, 1))
        self.is_doubling = is_doubling

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """(B, C, h, w), (B, 512), (1, 1, h', w') -> (B, C', h', w')."""
        x = self.modulated_conv(x, style, self.is_doubling) * math.sqrt(2.0)  # (B, C', h', w')
        return _leaky(x + self.weight * noise + self.bias)


class ToRgb(nn.Module):
    """Makes the colours that a level adds to the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv((channels, 3), 1, is_demodulated=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, h, w), (B, 512) -> (B, 3, h, w)."""
        colours: Tensor = self.modulated_conv(x, style)
        return colours + self.bias


class ConstantInput(nn.Module):
    """The feature map that the decoder starts from, the same for every face."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, _CONSTANT_PX, _CONSTANT_PX))


class StyleDecoder(nn.Module):
    """StyleGAN2's generator; at each level half of the channels are scaled and shifted by the U-Net's conditions."""

    def __init__(self, widest: int, rows: tuple[LevelRows, ...]) -> None:
        super().__init__()
        sides = [_CONSTANT_PX * 2**level for level in range(len(rows) + 1)]
        channels = [_channels(side, widest) for side in sides]
        self.rows = rows
        self.constant_input = ConstantInput(channels[0])
        self.style_conv1 = StyleConv((channels[0], channels[0]), is_doubling=False)
        self.to_rgb1 = ToRgb(channels[0])
        self.style_convs = nn.ModuleList()
        for smaller, larger in pairwise(channels):
            self.style_convs.append(StyleConv((smaller, larger), is_doubling=True))
            self.style_convs.append(StyleConv((larger, larger), is_doubling=False))
        self.to_rgbs = nn.ModuleList(ToRgb(count) for count in channels[1:])
        self.noises = nn.Module()
        for layer, side in enumerate([_CONSTANT_PX, *(side for side in sides[1:] for _ in range(2))]):
            self.noises.register_buffer(f"noise{layer}", torch.zeros(1, 1, side, side))

    def forward(self, styles: Tensor, conditions: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The picture, (B, 3, h, w) in -1..1, its rows from the last level's first kept row on.

        `styles` (B, 2 L + 2, 512) for L levels; `conditions` a scale and a shift (B, C / 2, h, w) for each level,
        of the rows that the level computes.
        """
        x = self.constant_input.weight.expand(styles.shape[0], -1, -1, -1)  # (B, 512, 4, 4)
        x = self.style_conv1(x, styles[:, 0], self._noise(0, 0))  # (B, 512, 4, 4)
        picture: Tensor = self.to_rgb1(x, styles[:, 1])  # (B, 3, 4, 4)
        for level, (rows, (scale, shift)) in enumerate(zip(self.rows, conditions, strict=True)):
            layer = 2 * level + 1
            x = self.style_convs[layer - 1](x, styles[:, layer], self._noise(layer, rows.computed))  # (B, C, h, w)
            as_it_is, steered = x.chunk(2, dim=1)  # (B, C / 2, h, w) each
            x = torch.cat((as_it_is, steered * scale + shift), dim=1)  # (B, C, h, w)
            x = self.style_convs[layer](x, styles[:, layer + 1], self._noise(layer + 1, rows.computed))  # (B, C, h, w)
            dropped = rows.kept - rows.computed
            x = x[:, :, dropped:]
            picture = _doubled(picture)[:, :, dropped:] + self.to_rgbs[level](x, styles[:, layer + 2])
        return picture

    def _noise(self, layer: int, first_row: int) -> Tensor:
        """(1, 1, h, w)."""
        noise: Tensor = self.noises.get_buffer(f"noise{layer}")
        return noise[:, :, first_row:]


class GfpganTorch(nn.Module):
    """The network; submodules are named as in the published checkpoints."""

    def __init__(self, first_row: int = 0, picture_px: int = PICTURE_PX, widest: int = _WIDEST) -> None:
        """Make a network for the picture's rows from `first_row` on.

        The published one has a side of 512 px (`picture_px`, a power of two) and at most 512 channels (`widest`).

        Raises:
            ValueError: `first_row` is not in the picture.
        """
        super().__init__()
        self.rows = level_rows(first_row, picture_px)
        sides = [_CONSTANT_PX * 2**level for level in range(len(self.rows) + 1)]
        channels = [_channels(side, widest) // 2 for side in sides]  # of the U-Net
        pairs = list(pairwise(channels))
        self.conv_body_first = nn.Conv2d(3, channels[-1], 1)
        self.conv_body_down = nn.ModuleList(DownBlock((larger, smaller)) for smaller, larger in reversed(pairs))
        self.final_conv = nn.Conv2d(channels[0], channels[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(UpBlock(pair) for pair in pairs)
        self.final_linear = nn.Linear(channels[0] * _CONSTANT_PX**2, (2 * len(pairs) + 2) * STYLE_LENGTH)
        self.condition_scale = nn.ModuleList(_condition(count) for count in channels[1:])
        self.condition_shift = nn.ModuleList(_condition(count) for count in channels[1:])
        self.stylegan_decoder = StyleDecoder(widest, self.rows)

    def forward(self, face: Tensor) -> Tensor:
        """The restored face: (B, 3, 512, 512) RGB in -1..1 -> (B, 3, 512 - first_row, 512), about -1..1."""
        x = _leaky(self.conv_body_first(face))  # (B, 32, 512, 512)
        skips = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)  # (B, 64, 256, 256), (B, 128, 128, 128), (B, 256, 64, 64), ..., (B, 256, 4, 4)
        x = _leaky(self.final_conv(x))  # (B, 256, 4, 4)
        styles = self.final_linear(x.flatten(1)).unflatten(1, (-1, STYLE_LENGTH))  # (B, 16, 512)
        conditions = []
        first_row = 0  # of x
        for level, (rows, skip) in enumerate(zip(self.rows, reversed(skips), strict=True)):
            x = self.conv_body_up[level](x + skip[:, :, first_row:])  # (B, C, h, w)
            x = x[:, :, rows.computed - 2 * first_row :]
            first_row = rows.computed
            conditions.append((self.condition_scale[level](x), self.condition_shift[level](x)))
        picture: Tensor = self.stylegan_decoder(styles, conditions)
        return picture


def _channels(side_px: int, widest: int) -> int:
    """Channels of the decoder where its feature maps have that side."""
    return min(widest, widest * _FULL_WIDTH_PX // side_px)


def _condition(channels: int) -> nn.Sequential:
    first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
    return nn.Sequential(first, nn.LeakyReLU(_SLOPE), second)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _doubled(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2 h, 2 w), bilinear."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
