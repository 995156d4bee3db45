"""The Wav2Lip generator as a torch module, for importing checkpoints and for tests; no job needs it.

Architecture: Prajwal et al. 2020, "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild".
Names and shapes of the layers are those of the published checkpoints; strides and paddings follow from the sizes
of the feature maps: 96 px of face and 80 x 16 of mel both shrink to 1 x 1.

The decoder can leave out the upper rows of the picture. A 3 x 3 convolution on rows that were cut off above spoils
one row at the cut, so each block starts early enough and then drops the spoilt rows: the remaining rows hold the
same numbers as those of the whole picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipsync_core.generators.wav2lip_mask import FACE_PX

#: For each decoder block, the number of 3 x 3 convolutions after the layer that makes its size.
_REFINEMENTS = (0, 1, 2, 2, 2, 2, 2)
_FIRST_DOUBLING = 2  # the first decoder block that doubles the size


@dataclass(frozen=True, slots=True)
class RowCut:
    """The rows of its output that one decoder block hands on."""

    first_row: int  # of the block's whole output
    dropped: int  # rows that the block computes above it, on an input which starts at the block before's `first_row`


def decoder_cuts(first_row: int) -> tuple[RowCut, ...]:
    """The rows that each decoder block, in order, hands on for the picture's rows from `first_row` on.

    Raises:
        ValueError: `first_row` is not in 0..95.
    """
    if not 0 <= first_row < FACE_PX:
        raise ValueError(f"first row is {first_row}, not in 0..{FACE_PX - 1}")
    wanted = max(0, first_row - 1)  # the output's own 3 x 3 convolution looks one row up
    cuts: list[RowCut] = []
    for block in reversed(range(len(_REFINEMENTS))):
        # Row 2i of a transposed convolution of stride 2 depends on input row i alone, row 2i + 1 on i and i + 1.
        start = max(0, wanted - _REFINEMENTS[block]) // 2 if block >= _FIRST_DOUBLING else 0
        cuts.append(RowCut(wanted, wanted - 2 * start))
        wanted = start
    return tuple(reversed(cuts))


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: tuple[int, int], kernel: int, stride: int | tuple[int, int], padding: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(*channels, kernel, stride, padding)
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(channels[1]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        return torch.relu(self.conv_block(x))


class RefineBlock(ConvBlock):
    """A 3 x 3 convolution that corrects its input: size and channels stay."""

    def __init__(self, channels: int) -> None:
        super().__init__((channels, channels), kernel=3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return torch.relu(self.conv_block(x) + x)


class GrowBlock(nn.Module):
    """Transposed 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        # Stride 1 without padding grows 1 px to 3 px; stride 2 with padding 1 on all sides but two doubles the size.
        padding = stride - 1
        grow = nn.ConvTranspose2d(*channels, 3, stride, padding, output_padding=padding)
        self.conv_block = nn.Sequential(grow, nn.BatchNorm2d(channels[1]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', 2 h, 2 w), or h + 2 and w + 2 for stride 1."""
        return torch.relu(self.conv_block(x))


class Wav2LipTorch(nn.Module):
    """The network; submodules are named as in the published checkpoints."""

    def __init__(self, first_row: int = 0) -> None:
        """Make a network for the picture's rows from `first_row` on; ValueError where that is not in 0..95."""
        super().__init__()
        self.first_row = first_row
        self.cuts = decoder_cuts(first_row)
        self.face_encoder_blocks = _face_encoder()
        self.audio_encoder = _audio_encoder()
        self.face_decoder_blocks = _face_decoder()
        self.output_block = nn.Sequential(ConvBlock((80, 32), 3, 1, 1), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """The face, speaking the sound of `mel`.

        `mel` (B, 1, 80, 16) in -4..4; `faces` (B, 6, 96, 96) BGR in 0..1, channels 0-2 with the rows from 48 on at
        zero, channels 3-5 whole. Returns (B, 3, 96 - first_row, 96) BGR in 0..1.
        """
        skips = []
        x = faces  # (B, 6, 96, 96)
        for block in self.face_encoder_blocks:
            x = block(x)
            skips.append(x)  # (B, 16, 96, 96), (B, 32, 48, 48), ..., (B, 512, 1, 1)
        x = self.audio_encoder(mel)  # (B, 512, 1, 1)
        for block, cut, skip in zip(self.face_decoder_blocks, self.cuts, reversed(skips), strict=True):
            rows = block(x)[:, :, cut.dropped :]
            x = torch.cat((rows, skip[:, :, cut.first_row :]), dim=1)  # (B, 1024, 1, 1), ..., (B, 80, r, 96)
        picture: Tensor = self.output_block(x)  # (B, 3, r, 96)
        return picture[:, :, self.first_row - self.cuts[-1].first_row :]  # (B, 3, 96 - first_row, 96)


def _shrink(inputs: int, outputs: int, refinements: int) -> nn.Sequential:
    """Halve the size."""
    return nn.Sequential(ConvBlock((inputs, outputs), 3, 2, 1), *(RefineBlock(outputs) for _ in range(refinements)))


def _grow(inputs: int, outputs: int, stride: int, refinements: int) -> nn.Sequential:
    return nn.Sequential(GrowBlock((inputs, outputs), stride), *(RefineBlock(outputs) for _ in range(refinements)))


def _face_encoder() -> nn.ModuleList:
    return nn.ModuleList(
        [
            nn.Sequential(ConvBlock((6, 16), 7, 1, 3)),  # (B, 16, 96, 96)
            _shrink(16, 32, 2),  # (B, 32, 48, 48)
            _shrink(32, 64, 3),  # (B, 64, 24, 24)
            _shrink(64, 128, 2),  # (B, 128, 12, 12)
            _shrink(128, 256, 2),  # (B, 256, 6, 6)
            _shrink(256, 512, 1),  # (B, 512, 3, 3)
            nn.Sequential(ConvBlock((512, 512), 3, 1, 0), ConvBlock((512, 512), 1, 1, 0)),  # (B, 512, 1, 1)
        ]
    )


def _audio_encoder() -> nn.Sequential:
    return nn.Sequential(
        *(ConvBlock((1, 32), 3, 1, 1), RefineBlock(32), RefineBlock(32)),  # (B, 32, 80, 16)
        *(ConvBlock((32, 64), 3, (3, 1), 1), RefineBlock(64), RefineBlock(64)),  # (B, 64, 27, 16)
        *(ConvBlock((64, 128), 3, 3, 1), RefineBlock(128), RefineBlock(128)),  # (B, 128, 9, 6)
        *(ConvBlock((128, 256), 3, (3, 2), 1), RefineBlock(256)),  # (B, 256, 3, 3)
        *(ConvBlock((256, 512), 3, 1, 0), ConvBlock((512, 512), 1, 1, 0)),  # (B, 512, 1, 1)
    )


def _face_decoder() -> nn.ModuleList:
    """Each block's input is the block before's output beside the encoder's feature map of that size."""
    return nn.ModuleList(
        [
            nn.Sequential(ConvBlock((512, 512), 1, 1, 0)),  # (B, 512, 1, 1)
            _grow(512 + 512, 512, 1, _REFINEMENTS[1]),  # (B, 512, 3, 3)
            _grow(512 + 512, 512, 2, _REFINEMENTS[2]),  # (B, 512, 6, 6)
            _grow(512 + 256, 384, 2, _REFINEMENTS[3]),  # (B, 384, 12, 12)
            _grow(384 + 128, 256, 2, _REFINEMENTS[4]),  # (B, 256, 24, 24)
            _grow(256 + 64, 128, 2, _REFINEMENTS[5]),  # (B, 128, 48, 48)
            _grow(128 + 32, 64, 2, _REFINEMENTS[6]),  # (B, 64, 96, 96)
        ]
    )
