"""Skips what lies before an excerpt of a sound, where that changes no sample of it.

It does where a decoder has no memory (PCM, FLAC), and where the container counts samples and cannot leave any out. A
lossy decoder after a seek gives other samples than one that has heard all before, so those sounds are decoded from
their start.
"""

from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

#: FFmpeg's names of containers of one sound, whose times are the numbers of its samples.
_COUNTING = frozenset({"aiff", "au", "flac", "w64", "wav"})
#: A seek for less gains nothing.
WORTH_S = 30
_EARLIER_S = 2


def skip_to(container: InputContainer, stream: AudioStream, start_s: Fraction) -> bool:
    """Have the next frames begin some seconds before `start_s`; False where all have to be decoded."""
    codec = stream.codec_context
    is_exact = stream.time_base == Fraction(1, codec.sample_rate) and not stream.start_time
    has_memory = codec.name != "flac" and not codec.name.startswith("pcm_")
    if start_s < WORTH_S or not is_exact or has_memory or container.format.name not in _COUNTING:
        return False
    try:
        container.seek(int((start_s - _EARLIER_S) * codec.sample_rate), stream=stream)
    except av.FFmpegError:
        return False
    return True


def place_of(frame: av.AudioFrame | None, start_s: Fraction) -> int | None:
    """The number of the first sample of the first `frame` after a skip; None where it does not lie before `start_s`."""
    if frame is None or frame.pts is None or frame.time_base is None:
        return None
    place = frame.pts * frame.time_base * frame.sample_rate
    return int(place) if place.denominator == 1 and 0 <= place <= start_s * frame.sample_rate else None
