"""Does a job as Wav2Lip's public implementation would, so that results can be compared frame by frame.

It reproduces the results of `inference.py` of Rudrabha/Wav2Lip 5c90fa9 with its quirks: source frames repeat in a
loop, the sound's last 0.2 s may go without a frame, boxes are averaged over the following frames, and the network's
whole picture is pasted over the face with hard edges. It does not reproduce the losses of pixels in OpenCV (a fixed
colour matrix, two lossy encodings).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import WHOLE_SOUND, SoundPart
from lipsync_core.audio.mel import MEL_HZ
from lipsync_core.compat.painter import UPSTREAM_VERSION, UpstreamPainter
from lipsync_core.errors import FaceError
from lipsync_core.execution import Provider
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import ClipObserver
from lipsync_core.generators.contract import Conditions, GeneratorSpec
from lipsync_core.generators.wav2lip import Identity, MelChunks, Wav2LipGenerator
from lipsync_core.generators.wav2lip_boxes import FacePadding, detector_boxes
from lipsync_core.generators.wav2lip_mask import FACE_PX
from lipsync_core.generators.wav2lip_onnx import CHUNK_COLUMNS, Wav2LipNetwork
from lipsync_core.timeline import Timeline

_WINDOW_FRAMES = 5  # a box is the mean of its frame's and the four that follow


@dataclass(frozen=True, slots=True, eq=False)
class UpstreamPlan:
    """The track, timeline and conditions that replace the job's own."""

    track: FaceTrack  # its boxes are final: padded, smoothed, whole pixels inside the frame; no mouth is covered
    timeline: Timeline
    conditions: "UpstreamChunks"


def plan_as_upstream(
    track: FaceTrack,
    heard: Conditions,
    frame_rate: Fraction,
    size_px: tuple[int, int],
    padding: FacePadding | None = None,
) -> UpstreamPlan:
    """Plan a job on the clip of `track`, whose frames are `size_px` (width, height), for the whole audio.

    Raises:
        FaceError: a frame that would be shown has no face; the public implementation stops there, too.
        ValueError: the track is empty, or `heard` does not come from a Wav2Lip generator.
    """
    if not isinstance(heard, MelChunks):
        raise ValueError(f"the conditions are {heard!r}, not mel chunks")
    if not len(track):
        raise ValueError("a timeline needs at least one frame")
    count = len(chunk_columns(heard.mel.shape[1], frame_rate))
    used = min(count, len(track))
    return UpstreamPlan(
        track=replace(
            track,
            boxes=_final_boxes(track, used, size_px, padding or FacePadding()),
            covered=np.zeros_like(track.covered),  # the public implementation paints on masks
        ),
        timeline=Timeline(
            source_indexes=(np.arange(count) % used).astype(np.int32),
            pts=np.arange(count, dtype=np.int64),
            time_base=1 / frame_rate,
            last_duration=1,
        ),
        conditions=UpstreamChunks(heard.mel, frame_rate),
    )


def chunk_columns(columns: int, frame_rate: Fraction) -> NDArray[np.int64]:
    """(M,) the mel column at which each output frame's chunk begins, of a spectrogram of `columns` columns.

    The chunk of frame i begins at column int(i * (80 / rate)) in float64 (whose rounding is one column early now and
    then, as at 24000/1001). The first chunk of 16 columns that would reach past the end takes the last 16 instead, and
    its frame is the last.
    """
    last = max(0, columns - CHUNK_COLUMNS)
    step = MEL_HZ / float(frame_rate)
    numbers = np.arange(int((last + 1) / step) + 2)
    starts = (numbers * step).astype(np.int64)
    return np.append(starts[starts <= last], last)


def smoothed_as_upstream(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 4) each box replaced, in order, by the truncated mean of itself and the four that follow.

    The last four boxes all take the mean of the last five, in which boxes already replaced count with their new
    values. With N < 5 boxes, all take the mean of the last 5 - N, or of all N if those are fewer.
    """
    smooth = boxes.copy()
    count = len(boxes)
    for index in range(count):
        start = min(index, count - _WINDOW_FRAMES)  # below zero it counts from the end, as in `inference.py`
        window = smooth[start : start + _WINDOW_FRAMES] if start >= 0 else smooth[start:]
        smooth[index] = window.mean(axis=0)
    return smooth


def _final_boxes(track: FaceTrack, used: int, size_px: tuple[int, int], padding: FacePadding) -> NDArray[np.float32]:
    """(N, 4) the boxes of the first `used` frames as they are cropped and pasted; the others are unchanged."""
    missing = np.flatnonzero(~track.has_face[:used])
    if len(missing):
        raise FaceError(f"frame {missing[0]} has no face", "the public implementation stops there; leave out compat")
    found = np.maximum(detector_boxes(track)[:used], 0.0).astype(np.int64)  # (used, 4)
    outward = np.array([-padding.left_px, -padding.top_px, padding.right_px, padding.bottom_px])
    padded = np.clip(found + outward, 0, np.tile(size_px, 2))
    boxes = track.boxes.copy()
    boxes[:used] = smoothed_as_upstream(padded)
    return boxes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UpstreamChunks:
    """Implements `generators.contract.Conditions` for frames of one constant rate."""

    mel: NDArray[np.float32]  # (80, M), M >= 16
    frame_rate: Fraction

    def __repr__(self) -> str:
        return f"UpstreamChunks({self.mel.shape[1] / MEL_HZ:.2f} s at {self.frame_rate})"

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """(M, 80, 16) the chunks of the frames that start at `times_s` (M,)."""
        starts = chunk_columns(self.mel.shape[1], self.frame_rate)
        numbers = np.rint(np.asarray(times_s, np.float64) * float(self.frame_rate)).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(self.mel, CHUNK_COLUMNS, axis=1)  # (80, M - 15, 16) view
        columns = starts[np.clip(numbers, 0, len(starts) - 1)]
        return np.ascontiguousarray(windows[:, columns].transpose(1, 0, 2))


class UpstreamGenerator:
    """Implements `InferringHalf`: gives the network's whole picture, truncated to 8 bits instead of rounded."""

    def __init__(self, network: Wav2LipNetwork, identity: Identity) -> None:
        """Use `network`, which was opened with `first_row` 0."""
        if network.first_row:
            raise ValueError(f"the network draws the rows from {network.first_row} on, and all are pasted")
        self._network = network
        self._generator = Wav2LipGenerator(network, identity)

    @property
    def spec(self) -> GeneratorSpec:
        """The spec of the `wav2lip` generator, with a version of its own."""
        return replace(self._generator.spec, version=UPSTREAM_VERSION)

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._network.provider

    def observer(self) -> ClipObserver | None:
        """None: the face track alone is enough."""
        return None

    def part_to_hear(self, start_s: Fraction, end_s: Fraction | None) -> SoundPart:
        """The whole sound, because the public implementation makes no excerpts."""
        return WHOLE_SOUND

    def listen(self, speech: Iterable[NDArray[np.int16]], part: SoundPart = WHOLE_SOUND) -> MelChunks:
        """The mel spectrogram of the whole audio, for `plan_as_upstream`."""
        return self._generator.listen(speech, part)

    def infer(self, crops: Iterator[NDArray[np.uint8]] | None, conditions: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(M, 96, 96, 3) uint8 RGB: the network's picture of each crop, speaking.

        `crops` yields (96, 96, 3) uint8 RGB, one per row of `conditions` (M, 80, 16).

        Raises:
            ValueError: there are fewer crops than conditions.
            ModelError: ONNX Runtime fails.
        """
        faces = np.empty((len(conditions), FACE_PX, FACE_PX, 3), np.uint8)
        batch = self._generator.spec.batch_frames or 1
        for start in range(0, len(conditions), batch):
            mel = conditions[start : start + batch]
            seen = list(islice(crops or (), len(mel)))
            if len(seen) < len(mel):
                raise ValueError(f"{start + len(seen)} crops for {len(conditions)} conditions")
            bgr = self._network.mouths(mel, np.stack(seen))  # (B, 3, 96, 96) 0..1
            faces[start : start + len(mel)] = (bgr * 255.0).astype(np.uint8).transpose(0, 2, 3, 1)[..., ::-1]
        return faces

    def cropper(self, track: FaceTrack) -> UpstreamPainter:
        """The clip's painter, which also makes its crops."""
        return UpstreamPainter(track)
