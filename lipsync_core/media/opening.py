"""Opens media files, and translates FFmpeg's errors: the one place where the product opens a file that it was given.

The file is opened here, and FFmpeg gets its descriptor. So the file that was looked at is the file that is read, its
name is a plain name whatever characters it has, its kind is decided by its content alone, and FFmpeg has no protocol
with which a playlist or a reference could open a second file.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import CodecContext, Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from lipsync_core.errors import (
    InputError,
    InputMissingError,
    LimitError,
    NotAFileError,
    RefusedMediaError,
    TruncatedMediaError,
    UnreadableMediaError,
)
from lipsync_core.limit_errors import MemoryLimitError, StreamLimitError
from lipsync_core.limits import Limits, limits
from lipsync_core.media.allowed import allowed, is_allowable
from lipsync_core.media.channel_order import forget_own_orders
from lipsync_core.media.decoding import codec_options, require_no_refused_size
from lipsync_core.media.ffmpeg_log import log_of, reasons
from lipsync_core.media.opening_room import opening_room
from lipsync_core.media.stills import is_heif_still
from lipsync_core.media.truncation import is_missing_index, is_missing_samples
from lipsync_core.shortage import require_no_shortage, shortage_behind
from lipsync_core.structure.check import check_structure
from lipsync_core.structure.packets import UNFOLDING_CODECS

_GIVE_MEDIA = "give the media themselves, in one file"
_GET_A_WHOLE_FILE = "copy or download the file again"
_IMAGES = "_pipe"  # FFmpeg's demuxers of one image each end in this
_WEBP_HEAD_BYTES, _WEBP_ANIMATED = 21, 0x02
_PLAYLIST = b"#EXTM3U"  # RFC 8216, 4.3.1.1; FFmpeg knows one by its name alone
_PROBED = re.compile(r"Format (\S+) (probed|detected)")  # detected: with a low score, such as of a text
_passed: dict[tuple[int, int, int, int, int, Limits], None] = {}  # versions of files whose structure is checked
_MOST_PASSED = 64
#: What FFmpeg's wrapper raises where a file holds a number that it does not expect.
_LIBRARY_ERRORS = (ValueError, ArithmeticError, AttributeError, TypeError, RuntimeError, LookupError)


@contextmanager
def open_media(path: Path, hardware: HWAccel | None = None) -> Iterator[InputContainer]:
    """Open `path` for demuxing and decoding; FFmpeg's errors inside the block become this product's.

    Its video is decoded on `hardware`, where that is given.

    Raises:
        InputMissingError: there is no such file, or this user may not read it.
        NotAFileError: the path is a directory or a device.
        UnreadableMediaError: the file is empty, or FFmpeg does not know its format.
        RefusedMediaError: its format is not one of `allowed.Allowed`.
        TruncatedMediaError: the file ends before its own index says.
        LimitError: it is beyond one of `limits.Limits`.
    """
    with reading(path), _readable(path) as file, _opened(file, path, hardware) as container:
        yield container


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate the errors of FFmpeg and of numpy while the media at `path` are read.

    Raises:
        InputError: as `open_media`.
    """
    try:
        yield
    except (av.FFmpegError, MemoryError) as exc:
        raise _translated(exc, path) from exc
    except LimitError as exc:
        raise _named(exc, path) from exc
    except (ValueError, ArithmeticError) as exc:  # of a number that the file states
        raise _unreadable(path, exc) from exc


def is_still(container: InputContainer, path: Path) -> bool:
    """Whether `container`, which `open_media` has opened for `path`, is an image."""
    return container.format.name.endswith(_IMAGES) or is_heif_still(path)


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path`, open and not empty."""
    try:
        # Without waiting: a pipe without a writer would be waited for.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError as exc:
        raise InputMissingError(f"{path} does not exist", "check the name") from exc
    except PermissionError as exc:
        raise InputMissingError(f"{path} may not be read by this user", "check its permissions") from exc
    except IsADirectoryError as exc:
        raise NotAFileError(f"{path} is a directory", "give a media file") from exc
    except (OSError, ValueError) as exc:  # a socket, a name too long, a loop of links, a zero byte
        if isinstance(exc, OSError) and exc.errno == errno.ENXIO:
            raise NotAFileError(f"{path} is not a regular file", "give a media file") from exc
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InputMissingError(f"{str(path)!r} cannot be opened: {reason}", "check the name and permissions") from exc
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise NotAFileError(f"{path} is {kind}", "give a media file")
        if status.st_size == 0:
            raise UnreadableMediaError(f"{path} is empty (zero bytes)", _GET_A_WHOLE_FILE)
        yield file


def _require_readable_picture(file: BinaryIO, path: Path) -> None:
    """Refuse a picture that FFmpeg takes for an empty film: an animated WebP (flags of its VP8X chunk)."""
    file.seek(0)
    head = file.read(_WEBP_HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & _WEBP_ANIMATED:
        raise RefusedMediaError(f"{path} is an animated WebP, which is not read here", "convert it to MP4 or GIF")


@contextmanager
def _opened(file: BinaryIO, path: Path, hardware: HWAccel | None) -> Iterator[InputContainer]:
    status, present = os.fstat(file.fileno()), limits()
    size_bytes = status.st_size
    _require_readable_picture(file, path)
    try:
        _check_once(file, status, present)
        with opening_room(present):
            container = _open_whole(file, path, present, hardware)
    except av.FFmpegError as exc:
        raise _translated(exc, path) from exc
    except LimitError as exc:
        raise _named(exc, path) from exc
    except (*_LIBRARY_ERRORS, OSError) as exc:
        raise _unreadable(path, exc) from exc
    with container:
        _prepare(container, path, size_bytes, present)
        yield container


def _check_once(file: BinaryIO, status: os.stat_result, present: Limits) -> None:
    """Check the structure of a file; a job opens each of its files several times."""
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, present)
    if version not in _passed:
        with opening_room(present):
            check_structure(file, status.st_size, present)
        if len(_passed) >= _MOST_PASSED:
            _passed.clear()
        _passed[version] = None


def _open_whole(file: BinaryIO, path: Path, present: Limits, hardware: HWAccel | None) -> InputContainer:
    try:
        container = _open(file, present, hardware)
    except av.FFmpegError as exc:
        refusal = _refusal(exc, file, path, present)
        if refusal is None:
            raise
        raise refusal from exc
    try:
        _require_few_streams(container, path, present)
        forget_own_orders(container)  # before anybody looks at a layout
        if any(map(_lacks_size, container.streams.video)):
            _opening_log(file, present, av.logging.ERROR)
        _require_known_streams(container)
    except BaseException:
        container.close()
        raise
    return container


def _lacks_size(stream: VideoStream) -> bool:
    """Whether FFmpeg has looked for the size of its pictures, and not found it or refused it."""
    codec = stream.codec_context
    return codec is not None and codec.name not in UNFOLDING_CODECS and not (codec.width and codec.height)


def _require_few_streams(container: InputContainer, path: Path, present: Limits) -> None:
    if len(container.streams) > present.max_streams:
        raise _too_many_streams(path, present)


def _too_many_streams(path: Path, present: Limits) -> StreamLimitError:
    return StreamLimitError(f"{path} has more than {present.max_streams} streams", "keep only the one to be read")


def _require_known_streams(container: InputContainer) -> None:
    """FFmpeg opens a file, too, whose decoders it could not open: such a stream would be missing.

    Raises:
        MemoryShortageError: a shortage of memory is behind it.
    """
    streams = (*container.streams.audio, *container.streams.video)
    if not all(_is_known(each.codec_context) for each in streams):
        require_no_shortage(RuntimeError("a stream is not known"))


def _is_known(codec: CodecContext | None) -> bool:
    if isinstance(codec, VideoCodecContext):
        return codec.pix_fmt is not None or codec.name in UNFOLDING_CODECS  # which the opening does not decode
    if isinstance(codec, AudioCodecContext):
        return codec.layout is not None and codec.layout.nb_channels > 0 and codec.sample_rate > 0
    return True  # FFmpeg has no decoder for it


def _open(file: BinaryIO, present: Limits, hardware: HWAccel | None) -> InputContainer:
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # FFmpeg's copy of the descriptor begins where this one stands
    lists = allowed()
    options = {
        "fd": str(file.fileno()),
        "protocol_whitelist": "fd",
        "format_whitelist": lists.format_whitelist,
        "codec_whitelist": ",".join(name for name in lists.decoders if name not in UNFOLDING_CODECS),
        "max_streams": str(present.max_streams + 1),  # some formats leave the rest out: one more tells that there are
        **codec_options(present),
    }
    return av.open("fd:", options=options, metadata_errors="replace", hwaccel=hardware)


def _prepare(container: InputContainer, path: Path, size_bytes: int, present: Limits) -> None:
    try:
        if is_missing_samples(container, size_bytes):
            raise TruncatedMediaError(f"{path} is cut off: its index lists more than it holds", _GET_A_WHOLE_FILE)
        for stream in (*container.streams.video, *container.streams.audio):
            if stream.codec_context is not None:
                stream.codec_context.options = codec_options(present)
                # Else a crop at the left or above is cut down to what processors like, and what it hides is shown.
                stream.codec_context.flags |= Flags.unaligned
    except _LIBRARY_ERRORS as exc:
        raise _unreadable(path, exc) from exc


def _refusal(exc: av.FFmpegError, file: BinaryIO, path: Path, present: Limits) -> InputError | None:
    """The error that says which of our rules FFmpeg has applied; it only logs that, so the file is opened again."""
    file.seek(0)
    if file.read(len(_PLAYLIST)) == _PLAYLIST:
        return RefusedMediaError(f"{path} is a playlist, and names other files", _GIVE_MEDIA)
    if not isinstance(exc, av.error.InvalidDataError) and exc.errno not in (errno.EINVAL, errno.ENOMEM):
        return None
    said = _opening_log(file, present, av.logging.DEBUG if exc.errno == errno.EINVAL else av.logging.ERROR)
    if "Format not on whitelist" in said:  # for a codec it says so too, and goes on without it
        return _refused_format(path, _PROBED.search(said))
    if "max_streams" in said:
        return _too_many_streams(path, present)
    return None


def _opening_log(file: BinaryIO, present: Limits, level: int) -> str:
    """FFmpeg's log of opening the file once again; raises PixelLimitError where that refuses the size of a picture."""
    with log_of(level) as lines, suppress(av.FFmpegError):
        _open(file, present, None).close()
    require_no_refused_size([text for _, _, text in lines], present)
    return reasons(lines)


def _refused_format(path: Path, found: re.Match[str] | None) -> RefusedMediaError:
    if found is None:
        return RefusedMediaError(f"{path} is of a format that is not read here", "convert it to MP4 or WAV")
    name = found[1]
    if not is_allowable(name):
        return RefusedMediaError(f"{path} names other files or addresses, and is none itself ({name})", _GIVE_MEDIA)
    if found[2] == "detected":
        message = f"{path} is hardly media: to FFmpeg it looks most like {name}, which is not read here"
        return RefusedMediaError(message, f"give a media file; if it is {name}, LIPSYNC_ALLOW_DEMUXERS allows that")
    remedy = "convert it to MP4 or WAV; LIPSYNC_ALLOW_DEMUXERS allows more formats"
    return RefusedMediaError(f"{path} is of FFmpeg's format {name!r}, which is not read here", remedy)


def _named(exc: LimitError, path: Path) -> LimitError:
    """The error with the file's name, which some checks do not know."""
    return exc if str(path) in exc.message else type(exc)(f"{path}: {exc.message}", exc.remedy)


def _unreadable(path: Path, exc: Exception) -> UnreadableMediaError:
    return UnreadableMediaError(f"{path} cannot be read as media ({exc})", _GET_A_WHOLE_FILE)


def _translated(exc: av.FFmpegError | MemoryError, path: Path) -> InputError:
    if isinstance(exc, MemoryError) or shortage_behind(exc) is not None:  # no memory, or no thread
        return MemoryLimitError(f"{path} takes more memory than there is for it", "give a smaller file")
    if is_missing_index(path):
        return TruncatedMediaError(f"{path} is cut off: its index is missing or incomplete", _GET_A_WHOLE_FILE)
    remedy = "give a video, a picture or a sound; convert one of another format to MP4, PNG or WAV"
    return UnreadableMediaError(f"{path} cannot be read as media ({exc.strerror})", remedy)
