"""The identity of a served model: what a server says of it, and what this machine's registry expects."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from lipsync_core.errors import ModelMismatchError

#: The version of the tensors that the models of a server take and give; raise it with every change of them.
SERVED_VERSION = "1"
#: The models that a server may hold. The face model `mediapipe-face` runs in LiteRT.
SERVABLE = ("scrfd", "wav2lip", "wav2lip-gan", "gfpgan")
#: Put before the name of each field in the `parameters` of a model's config.pbtxt.
_PREFIX = "lipsync_"
_SHOWN_DIGITS = 12  # of a sha256 in messages


@dataclass(frozen=True, slots=True)
class ServedIdentity:
    """What is written into a model's configuration when its folder is made."""

    model: str  # its name in the registry
    version: str  # of the tensors that it takes and gives
    licence: str
    weights_sha256: str  # 64 hex digits: of the file from which the network was imported
    provider: str = "cpu"  # of the server: cpu, cuda or tensorrt
    precision: str = "fp32"  # of the server's numbers: fp32 or fp16

    @property
    def parameters(self) -> dict[str, str]:
        """The entries of `parameters` in config.pbtxt."""
        return {_PREFIX + field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_parameters(cls, label: str, parameters: Mapping[str, str]) -> "ServedIdentity":
        """Read the entries of the model `label`.

        Raises:
            ModelMismatchError: one is missing.
        """
        try:
            return cls(**{field.name: parameters[_PREFIX + field.name] for field in fields(cls)})
        except KeyError as exc:
            raise ModelMismatchError(f"{label} does not say what it is: it has no parameter {exc}", _REMEDY) from exc

    def require(self, label: str, expected: "ServedIdentity") -> None:
        """Make sure that this, the identity of the model `label`, is the expected one; the provider is the server's.

        Raises:
            ModelMismatchError: it is not; the message names the first difference.
        """
        for name in ("model", "version", "licence", "weights_sha256", "precision"):
            found, wanted = getattr(self, name), getattr(expected, name)
            if found != wanted:
                what = name.replace("_", " ")
                raise ModelMismatchError(f"{label} has {what} {_shown(found)}, not {_shown(wanted)}", _REMEDY)


_REMEDY = "make the server's folder again with the models of this machine: lipsync models export-repository DIR"


def _shown(value: str) -> str:
    return f"{value[:_SHOWN_DIGITS]}…" if len(value) == 64 else repr(value)
