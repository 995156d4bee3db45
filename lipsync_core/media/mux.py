"""The output movie: encoded pictures and the given sound, interleaved in one file."""

from __future__ import annotations  # av.Packet takes its type argument in annotations only

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import OutputError
from lipsync_core.media.encode import EncoderOptions, PictureSpec
from lipsync_core.media.encoders import find_encoder
from lipsync_core.media.extras import Chapter
from lipsync_core.media.output import MUXERS, atomic_output, output_errors, require_output_size
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.soundtrack import Soundtrack, add_soundtrack
from lipsync_core.option_specs import AudioCodec

_T = TypeVar("_T")
#: Adds the stream of the pictures to a new movie.
AddPictures = Callable[[OutputContainer], _T]

#: Changes the finished file in place, before it appears under its name.
Finish = Callable[[Path], None]

_STAGE = "mux"
_SILENT = "none"
#: Ticks a second, at least, for the durations in the movie's header and edit lists (FFmpeg's own 1000 shortens the
#: last picture by up to a millisecond).
_MIN_TIMESCALE = 48000


@dataclass(frozen=True, slots=True)
class MovieTracks:
    """What a movie carries beside its pictures, and what is done to the whole file before it appears."""

    audio: AudioCut | None = None
    audio_codec: AudioCodec = "auto"
    metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: Sequence[Chapter] = ()
    finish: Finish | None = None


class MovieFile(Generic[_T]):
    """A movie that is being written: packets of its pictures as they are given, and the sound up to them.

    Use it as a context manager. `output` appears when the block ends without an error, with its index in front
    (faststart), and is untouched otherwise. Sound is read and written as the pictures advance, so memory does not grow
    with the length; all of it up to the end of the cut is written, however long the pictures last.

    Raises:
        OutputError: the output cannot be written; or what `add_pictures` raises.
        OptionError: the sound cannot be copied as was asked for.
        InputError: the sound cannot be read.
        OutputLimitError: the movie grows beyond its limit.
    """

    def __init__(
        self, output: Path, time_base: Fraction, tracks: MovieTracks, clock: StageClock, add_pictures: AddPictures[_T]
    ) -> None:
        """`add_pictures` adds the stream of the pictures; what it returns is `pictures`. `time_base` is their unit."""
        self.output = output
        self._time_base = time_base
        self._clock = clock
        with ExitStack() as stack:
            self._hidden = stack.enter_context(atomic_output(output))
            self._finish = tracks.finish
            self._container = stack.enter_context(_open_container(self._hidden, _timescale(time_base)))
            self._container.metadata.update(tracks.metadata)
            _set_chapters(self._container, tracks.chapters)
            with output_errors(output):
                self.pictures = add_pictures(self._container)
            self._sound = _add_sound(self._container, tracks.audio, tracks.audio_codec, clock)
            self._stack = stack.pop_all()
        self._next_sound: av.Packet[AudioStream] | None = None
        self._size_bytes = 0

    @property
    def audio_note(self) -> str:
        """How the sound is written: "copy (aac)", "aac 224 kb/s" or "none"."""
        return self._sound.note

    def mux(self, packets: list[av.Packet[VideoStream]], until: int | None = None) -> None:
        """Add packets of pictures, and then the sound before `until` (units of the time base), where it is given."""
        self._size_bytes += sum(packet.size for packet in packets)
        require_output_size(self._size_bytes, self.output)
        with self._clock.stage(_STAGE), output_errors(self.output):
            self._container.mux(packets)
        if until is not None:
            self._write_sound(until * self._time_base)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self._stack.__exit__(exc_type, exc, traceback)
            return
        with self._stack:
            self._write_sound(None)
            with self._clock.stage(_STAGE), output_errors(self.output):
                self._container.close()
            if self._finish is not None:
                self._finish(self._hidden)

    def _write_sound(self, until_s: Fraction | None) -> None:
        """Write the sound that starts before `until_s`; None: all that is left."""
        with self._clock.stage(_STAGE):
            while True:
                packet = next(self._sound.packets, None) if self._next_sound is None else self._next_sound
                self._next_sound = packet
                if packet is None or (until_s is not None and _time_s(packet) >= until_s):
                    return
                self._next_sound = None
                self._size_bytes += packet.size
                require_output_size(self._size_bytes, self.output)
                with output_errors(self.output):
                    self._container.mux(packet)


class MovieWriter:
    """Writes one movie, picture by picture; use it as a context manager, as `MovieFile`.

    Raises:
        OutputError: the output cannot be written, or the encoder cannot make such pictures.
        OptionError: no such encoder, or the sound cannot be copied as was asked for.
        InputError, OutputLimitError: as `MovieFile`.
    """

    def __init__(
        self,
        output: Path,
        picture_spec: PictureSpec,
        encoder_options: EncoderOptions,
        tracks: MovieTracks,
        clock: StageClock,
    ) -> None:
        encoder = find_encoder(encoder_options.encoder)
        add = partial(encoder.open, spec=picture_spec, options=encoder_options, clock=clock)
        self._file = MovieFile(output, picture_spec.time_base, tracks, clock, add)
        self._pictures = 0

    @property
    def audio_note(self) -> str:
        """See `MovieFile.audio_note`."""
        return self._file.audio_note

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """Add a picture shown at `pts` for `duration` (both in the spec's time base), and the sound up to there.

        The picture's own times are overwritten.

        Raises:
            OutputError: the picture does not fit the spec, or cannot be written (DiskFullError: no room).
            InputError: the sound cannot be read.
        """
        with output_errors(self._file.output):
            packets = self._file.pictures.encode(picture, pts, duration)
        self._pictures += 1
        self._file.mux(packets, pts + duration)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self._file.__exit__(exc_type, exc, traceback)
            return
        with self._file:
            if not self._pictures:
                raise OutputError(f"no picture was given for {self._file.output}", "choose a longer part of the input")
            with output_errors(self._file.output):
                packets = self._file.pictures.flush()
            self._file.mux(packets)


@contextmanager
def _open_container(path: Path, timescale: int) -> Iterator[OutputContainer]:
    """An open MP4 or MOV file, which the caller fills and closes inside the block; an error abandons it.

    Closing a started file makes FFmpeg finish it, with faststart's second pass over the whole file. After an error
    the file is removed before it is closed: FFmpeg cannot read it again, so that pass ends at once.
    """
    options = {"movflags": "+faststart", "movie_timescale": str(timescale)}
    container = av.open(str(path), "w", format=MUXERS[path.suffix], container_options=options)
    try:
        yield container
    except BaseException:
        path.unlink(missing_ok=True)
        with suppress(av.FFmpegError, OSError):
            container.close()
        raise


def _set_chapters(container: OutputContainer, chapters: Sequence[Chapter]) -> None:
    if chapters:
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": each.start,
                    "end": each.end,
                    "time_base": each.time_base,
                    "metadata": {"title": each.title},
                }
                for number, each in enumerate(chapters)
            ]
        )


def _timescale(time_base: Fraction) -> int:
    """The smallest doubling of the pictures' own unit that is fine enough, so that their duration stays exact."""
    scale = time_base.denominator
    while scale < _MIN_TIMESCALE:
        scale *= 2
    return scale


def _add_sound(container: OutputContainer, audio: AudioCut | None, codec: AudioCodec, clock: StageClock) -> Soundtrack:
    if audio is None:
        nothing: Iterator[av.Packet[AudioStream]] = iter(())
        return Soundtrack(_SILENT, nothing)
    with clock.stage(_STAGE):
        return add_soundtrack(container, audio, codec)


def _time_s(packet: av.Packet[AudioStream]) -> Fraction:
    return (packet.dts or 0) * packet.time_base
