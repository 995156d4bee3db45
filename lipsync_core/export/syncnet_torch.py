"""SyncNet as a torch module, for importing checkpoints and for tests; no job needs it.

Architecture: Chung and Zisserman 2016, "Out of time: automated lip sync in the wild", in the form of the public
implementation (joonson/syncnet_python), whose checkpoint `syncnet_v2.model` has these names and shapes.

`flat` gives the same network with convolutions in two dimensions. The first layer of the pictures' half takes all five
frames of a window at once, and no later one looks at more than one moment: so the five frames of three colours are as
well 15 channels. ONNX Runtime has its fastest code for two dimensions, and each batch norm goes into its convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

EMBEDDING_LENGTH = 1024
_HIDDEN = 512


class SyncNetTorch(nn.Module):
    """Embeds the sound and the pictures of windows of .2 s; both are near each other where they belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _sound_layers()
        self.netfcaud = _last_layers()
        self.netfclip = _last_layers()
        self.netcnnlip = _picture_layers()

    def forward(self, cepstra: Tensor, faces: Tensor) -> Tensor:
        """(B, 1, 13, 20), (B, 3, 5, 224, 224) BGR in 0..255 -> (B, 2, 1024), the sound's embeddings first."""
        sound: Tensor = self.netfcaud(self.netcnnaud(cepstra).flatten(1))  # (B, 1024)
        lips: Tensor = self.netfclip(self.netcnnlip(faces).flatten(1))  # (B, 1024)
        return torch.stack([sound, lips], dim=1)


class FlatSyncNet(nn.Module):
    """The same function as a `SyncNetTorch`, to rounding, ready for use and not for training."""

    def __init__(self, whole: SyncNetTorch) -> None:
        """Take over the weights of `whole`, which is in its evaluating mode."""
        super().__init__()
        self.sound = nn.Sequential(_flat(whole.netcnnaud), nn.Flatten(1), _flat(whole.netfcaud))
        self.lips = nn.Sequential(_flat(whole.netcnnlip), nn.Flatten(1), _flat(whole.netfclip))

    def forward(self, cepstra: Tensor, faces: Tensor) -> Tensor:
        """As `SyncNetTorch.forward`."""
        lips: Tensor = self.lips(faces.flatten(1, 2))  # (B, 15, 224, 224) -> (B, 1024)
        return torch.stack([self.sound(cepstra), lips], dim=1)


def _flat(layers: nn.Sequential) -> nn.Sequential:
    """The layers in two dimensions, with each batch norm in the layer before it."""
    flat: list[nn.Module] = []
    for layer in layers:
        match layer:
            case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
                flat.append(_with_norm(flat.pop(), layer))
            case nn.Conv3d():
                flat.append(_flat_convolution(layer))
            case nn.MaxPool3d():
                kernel, stride, padding = (_last_two(each) for each in (layer.kernel_size, layer.stride, layer.padding))
                flat.append(nn.MaxPool2d(kernel, stride, padding))
            case _:
                flat.append(layer)
    return nn.Sequential(*flat)


def _with_norm(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm)
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    raise TypeError(f"a batch norm follows {layer}")


def _flat_convolution(layer: nn.Conv3d) -> nn.Conv2d:
    """A convolution that does not move in time, with moments for channels."""
    moments = layer.kernel_size[0]
    stride, padding = _last_two(layer.stride), _last_two(layer.padding)
    flat = nn.Conv2d(layer.in_channels * moments, layer.out_channels, _last_two(layer.kernel_size), stride, padding)
    flat.weight = nn.Parameter(layer.weight.detach().flatten(1, 2))
    flat.bias = layer.bias
    return flat.eval()


def _last_two(sizes: int | str | tuple[int, ...]) -> tuple[int, int]:
    """Height and width of what is given for time, height and width."""
    if not isinstance(sizes, tuple):
        raise TypeError(f"{sizes!r} is not given for each dimension")
    return sizes[1], sizes[2]


def _sound_layers() -> nn.Sequential:
    """(B, 1, 13, 20) -> (B, 512, 1, 1)."""
    return nn.Sequential(
        *_block(nn.Conv2d(1, 64, 3, padding=1)),
        nn.MaxPool2d(1),  # changes nothing, and has its number among the names
        *_block(nn.Conv2d(64, 192, 3, padding=1)),
        nn.MaxPool2d(3, (1, 2)),  # (B, 192, 11, 9)
        *_block(nn.Conv2d(192, 384, 3, padding=1)),
        *_block(nn.Conv2d(384, 256, 3, padding=1)),
        *_block(nn.Conv2d(256, 256, 3, padding=1)),
        nn.MaxPool2d(3, 2),  # (B, 256, 5, 4)
        *_block(nn.Conv2d(256, _HIDDEN, (5, 4))),
    )


def _picture_layers() -> nn.Sequential:
    """(B, 3, 5, 224, 224) -> (B, 512, 1, 1, 1)."""
    return nn.Sequential(
        *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2), (0, 0, 0))),  # (B, 96, 1, 109, 109)
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 0, 0)),  # (B, 96, 1, 54, 54)
        *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),  # (B, 256, 1, 26, 26)
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),  # (B, 256, 1, 13, 13)
        *_block(nn.Conv3d(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), (1, 1, 1), (0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 0, 0)),  # (B, 256, 1, 6, 6)
        *_block(nn.Conv3d(256, _HIDDEN, (1, 6, 6), (1, 1, 1), (0, 0, 0))),
    )


def _last_layers() -> nn.Sequential:
    """(B, 512) -> (B, 1024)."""
    hidden = (nn.Linear(_HIDDEN, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(_HIDDEN, EMBEDDING_LENGTH))


def _block(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Convolution, batch norm, ReLU."""
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU()
