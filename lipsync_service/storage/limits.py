"""The limit on an input's duration, checked before any work on it."""

from fractions import Fraction
from pathlib import Path

from lipsync_core.apart import read_apart
from lipsync_core.limit_errors import DurationLimitError
from lipsync_core.media.opening import open_media
from lipsync_core.media.probe import MediaInfo, probe


def check_duration(
    path: Path, shown: str, max_duration_s: float, video_track: str | None = None, audio_track: str | None = None
) -> MediaInfo:
    """Probe `path` and check that it plays no longer than `max_duration_s`; `shown` is its name in the message.

    The tracks are as for `lipsync_core.media.probe.probe`.

    A file without a stated duration (a raw stream, a live recording) is read up to the limit, but not decoded.

    Raises:
        DurationLimitError: the file plays longer.
        OptionError: the file has no such track.
        InputError: it is no media file, as `lipsync_core.media.probe.probe`.
    """
    info = probe(path, video_track, audio_track)
    stated_s = [each.duration_s for each in (info.video, info.audio) if each is not None]
    known_s = [duration_s for duration_s in stated_s if duration_s is not None]
    duration_s = max(known_s) if len(known_s) == len(stated_s) and known_s else _counted_s(path, max_duration_s)
    if duration_s > max_duration_s:
        raise DurationLimitError(f"{shown} plays longer than {max_duration_s:g} s", "cut it into shorter files")
    return info


@read_apart
def _counted_s(path: Path, enough_s: float) -> Fraction:
    """The duration of all packets; stops counting above `enough_s`. A still image lasts 0 s."""
    first_s: Fraction | None = None
    lasts_s = summed_s = Fraction(0)
    with open_media(path) as container:
        for packet in container.demux():
            if packet.time_base is None:
                continue
            summed_s += (packet.duration or 0) * packet.time_base / len(container.streams)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                first_s = time * packet.time_base if first_s is None else first_s
                lasts_s = max(lasts_s, (time + (packet.duration or 0)) * packet.time_base - first_s)
            if max(lasts_s, summed_s) > enough_s:
                break
    return max(lasts_s, summed_s)
