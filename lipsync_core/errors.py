"""The errors of a job, with the stable code and exit status that all front ends report.

    LipSyncError                      exit 1   INTERNAL
    ├── OptionError                   exit 2   BAD_OPTION
    ├── InputError                    exit 3   INPUT_INVALID
    │   ├── InputMissingError                  FILE_NOT_FOUND
    │   ├── NotAFileError                      NOT_A_FILE
    │   ├── UnreadableMediaError               MEDIA_UNREADABLE
    │   ├── RefusedMediaError                  MEDIA_REFUSED
    │   ├── TruncatedMediaError                MEDIA_TRUNCATED
    │   ├── NoVideoError                       NO_VIDEO
    │   ├── NoAudioError                       NO_AUDIO
    │   └── LimitError                         LIMIT_EXCEEDED    (its children: `limit_errors`)
    ├── FaceError                     exit 4   NO_FACE
    ├── OutputError                   exit 5   OUTPUT_UNWRITABLE
    │   ├── DiskFullError                      DISK_FULL
    │   └── RefusedOutputError                 OUTPUT_REFUSED
    ├── ModelError                    exit 6   MODEL_INVALID
    │   ├── ModelMissingError                  MODEL_MISSING
    │   ├── ModelCorruptError                  MODEL_CORRUPT
    │   ├── ModelMismatchError                 MODEL_MISMATCH
    │   └── LicenceError                       LICENCE_NOT_ACCEPTED
    ├── MemoryShortageError           exit 11  OUT_OF_MEMORY
    ├── PreflightError                exit 12  PREFLIGHT_WARNING
    ├── ProvenanceError               exit 13  PROVENANCE_INVALID
    │   ├── SigningSetupError                  SIGNING_SETUP
    │   ├── SigningError                       SIGNING_FAILED
    │   ├── UnsignedError                      PROVENANCE_MISSING
    │   └── AlteredError                       PROVENANCE_ALTERED
    ├── QualityError                  exit 14  QUALITY_LOW
    └── TransientError                exit 75  TRANSIENT      (the only one worth a retry)
        ├── ModelServerDownError               MODEL_SERVER_DOWN
        └── ModelServerBusyError               MODEL_SERVER_BUSY

Exit 130 (INTERRUPTED) belongs to Ctrl-C and is raised by the command line, not from here.
"""

import re
from collections.abc import Iterator
from typing import ClassVar

_LONG_PART = re.compile(r"'[^']{300,}'|\S{301,}")  # longer than any address of the service's own
_SHOWN = 50  # characters of each end of one
_LONGEST = 1000


class LipSyncError(Exception):
    """A failure with a stable code.

    The message is one line that names the fault; `remedy` names the user's way to mend it. What they repeat of a
    caller's texts is `shortened`.
    """

    code: ClassVar[str] = "INTERNAL"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = shortened(message)
        self.remedy = shortened(remedy)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class OptionError(LipSyncError):
    """An option has a value that cannot be used."""

    code = "BAD_OPTION"
    exit_status = 2


class InputError(LipSyncError):
    """An input file cannot be used."""

    code = "INPUT_INVALID"
    exit_status = 3


class InputMissingError(InputError):
    """The input path does not exist, or this user may not read it."""

    code = "FILE_NOT_FOUND"


class NotAFileError(InputError):
    """The input path is a directory or a device."""

    code = "NOT_A_FILE"


class UnreadableMediaError(InputError):
    """FFmpeg recognises no media in the file, or decodes nothing from it."""

    code = "MEDIA_UNREADABLE"


class RefusedMediaError(InputError):
    """FFmpeg could read the file, but its format or its codec is not among those that are read here."""

    code = "MEDIA_REFUSED"


class TruncatedMediaError(InputError):
    """The file ends before the media that its own index announces."""

    code = "MEDIA_TRUNCATED"


class NoVideoError(InputError):
    """The file given as video holds no picture."""

    code = "NO_VIDEO"


class NoAudioError(InputError):
    """The file given as audio holds no sample of sound."""

    code = "NO_AUDIO"


class LimitError(InputError):
    """The job asks for more than this machine gives one job: `lipsync_core.limits` has the limits."""

    code = "LIMIT_EXCEEDED"


class FaceError(LipSyncError):
    """Too few frames could be synced, because the others have no usable face."""

    code = "NO_FACE"
    exit_status = 4


class OutputError(LipSyncError):
    """The output cannot be written."""

    code = "OUTPUT_UNWRITABLE"
    exit_status = 5


class DiskFullError(OutputError):
    """The file system of the output has no room left."""

    code = "DISK_FULL"


class RefusedOutputError(OutputError):
    """FFmpeg's muxer or encoder does not take the pictures or the sound; the file and its folder are fine."""

    code = "OUTPUT_REFUSED"


class ModelError(LipSyncError):
    """A model cannot be used."""

    code = "MODEL_INVALID"
    exit_status = 6


class ModelMissingError(ModelError):
    """The model's files are not installed."""

    code = "MODEL_MISSING"


class ModelCorruptError(ModelError):
    """The model's file does not have the registered sha256."""

    code = "MODEL_CORRUPT"


class ModelMismatchError(ModelError):
    """The model server holds another model, other weights or another precision than this machine expects."""

    code = "MODEL_MISMATCH"


class LicenceError(ModelError):
    """The model's licence forbids commercial use and has not been accepted."""

    code = "LICENCE_NOT_ACCEPTED"


class MemoryShortageError(LipSyncError):
    """The process was refused memory that it needs."""

    code = "OUT_OF_MEMORY"
    exit_status = 11


class PreflightError(LipSyncError):
    """The preflight warns of an input, and the job is strict."""

    code = "PREFLIGHT_WARNING"
    exit_status = 12


class ProvenanceError(LipSyncError):
    """A movie can not say how it was made, or what it says can not be believed."""

    code = "PROVENANCE_INVALID"
    exit_status = 13


class SigningSetupError(ProvenanceError):
    """The certificate or the key that is to sign cannot be used."""

    code = "SIGNING_SETUP"


class SigningError(ProvenanceError):
    """A finished movie was not signed; it is whole, and lies where it was wanted."""

    code = "SIGNING_FAILED"


class UnsignedError(ProvenanceError):
    """The file carries no content credentials."""

    code = "PROVENANCE_MISSING"


class AlteredError(ProvenanceError):
    """The file is not as it was signed."""

    code = "PROVENANCE_ALTERED"


class QualityError(LipSyncError):
    """The mouth of a finished movie follows the sound less well than was asked for."""

    code = "QUALITY_LOW"
    exit_status = 14


class TransientError(LipSyncError):
    """A failure outside this machine that may pass: of the network, a registry or a storage."""

    code = "TRANSIENT"
    exit_status = 75


class ModelServerDownError(TransientError):
    """The model server did not answer for as long as a caller waits."""

    code = "MODEL_SERVER_DOWN"


class ModelServerBusyError(TransientError):
    """The queue of the model server was full for as long as a caller waits."""

    code = "MODEL_SERVER_BUSY"


def shortened(text: str) -> str:
    """A text for people: without the middle of long words (addresses, paths) and quotations, nor of the whole."""
    text = _LONG_PART.sub(lambda part: f"{part[0][:_SHOWN]}…{part[0][-_SHOWN:]}", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[1 - _LONGEST // 2 :]}"


def error_of(code: str, message: str, remedy: str = "") -> LipSyncError:
    """The error of the class with this code, which any imported module may declare.

    An unknown code, from another version of this product, is put in front of the message.
    """
    known = {each.code: each for each in error_classes()}.get(code)
    return known(message, remedy) if known else LipSyncError(f"{code}: {message}", remedy)


def error_classes() -> tuple[type[LipSyncError], ...]:
    """Every error class with a code of its own that imported modules declare, parents before their children."""
    return tuple(each for each in _family(LipSyncError) if "code" in vars(each))


def _family(cls: type[LipSyncError]) -> Iterator[type[LipSyncError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)
