import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from skimage import data

from lipsync_core.clock import StageClock
from lipsync_core.errors import ModelMissingError
from lipsync_core.face.detect import FaceDetector
from lipsync_core.face.landmarks import MOUTH_CORNERS, rows
from lipsync_core.face.mediapipe import MODEL, MediapipeTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.decode import decode_frames
from lipsync_core.models.store import ModelStore
from tests.face.conftest import RATE, Picture, Track, as_frames, blank_at, frames_with_face, pictures_of
from tests.face.landmarker import IndependentLandmarker
from tests.shared_files import LANDMARKER, shared_file
from tests.thorough import first_of

TALKING_CLIPS = (
    "latentsync_demo1_video.mp4",
    "liveportrait_d3.mp4",
    "liveportrait_s13.mp4",
    "liveportrait_s20.mp4",
    "retalking_face1.mp4",
    "retalking_face3.mp4",
    "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
)
SHORTENED = 40
HAMILTON_CUTS = (20, 82, 211)  # first frames of its shots, by eye
#: Distance of the two landmarkers' mouth corners, in heights of the face: .01-.05 was measured.
MAX_CORNER_DISTANCE = 0.06


@pytest.fixture(scope="module")
def landmarker() -> IndependentLandmarker:
    return IndependentLandmarker(shared_file(LANDMARKER))


def middles(track: FaceTrack) -> np.ndarray:
    """(N, 2) x y of the boxes' middles, NaN without a face."""
    return track.boxes.reshape(-1, 2, 2).mean(axis=1)


def mouth_corners(track: FaceTrack) -> np.ndarray:
    """(N, 2, 2) x y."""
    return track.landmarks[:, rows(MOUTH_CORNERS), :2]


def portrait_at(face_px: int, middle: tuple[int, int]) -> Picture:
    """A 1080p picture with the astronaut's face, `face_px` from brow to chin, at `middle`."""
    scale = face_px / 118  # in the portrait: 118 px, middle at (224, 118)
    matrix = np.array([[scale, 0, middle[0] - 224 * scale], [0, scale, middle[1] - 118 * scale]])
    return cv2.warpAffine(data.astronaut(), matrix, (1920, 1080), flags=cv2.INTER_AREA, borderValue=(60, 70, 80))


def hide_the_man(picture: Picture) -> Picture:
    """The couple with a board before the man's face, too small to look like a cut."""
    hidden = picture.copy()
    hidden[30:270, 220:420] = 90
    return hidden


@pytest.mark.parametrize("clip", first_of(TALKING_CLIPS, 3))
def test_the_face_of_a_talking_person_is_found_where_another_landmarker_sees_it(
    clip: str, clips: Path, tracker: MediapipeTracker, track: Track, landmarker: IndependentLandmarker
) -> None:
    pictures = pictures_of(clips / clip, SHORTENED)
    found = track(tracker, pictures)
    assert found.has_face.mean() >= 0.99
    distances = []
    for index in range(0, len(found), 4):
        seen = landmarker.mouth_corners(pictures[index], found, index)
        height_px = found.boxes[index, 3] - found.boxes[index, 1]
        distances.append(np.linalg.norm(seen - mouth_corners(found)[index], axis=1).mean() / height_px)
    assert np.mean(distances) < MAX_CORNER_DISTANCE, distances


def test_cuts_and_profiles_pass_without_a_face_instead_of_failing(clips: Path, tracker: MediapipeTracker) -> None:
    frames = list(decode_frames(clips / "facerec_short_hamilton_clip.mp4", StageClock()))
    track = tracker.track(frames, StageClock())
    assert track.has_face[: HAMILTON_CUTS[0]].all()
    # A man in full profile who leaves the picture: there is no face to lip-sync.
    assert not track.has_face[HAMILTON_CUTS[0] + 2 : HAMILTON_CUTS[1]].any()
    # The singer is found in the very first frame of his shot and kept to its end.
    assert track.has_face[HAMILTON_CUTS[1] : HAMILTON_CUTS[2]].all()
    step = np.linalg.norm(np.diff(middles(track)[HAMILTON_CUTS[1] : HAMILTON_CUTS[2]], axis=0), axis=1)
    assert step.max() < 30


@pytest.mark.parametrize(("index", "on_the_left"), [(0, True), (1, False), (None, False)])
def test_one_of_two_people_is_followed_for_the_whole_clip(
    index: int | None, on_the_left: bool, couple: list[Picture], model_store: ModelStore, track: Track
) -> None:
    found = track(MediapipeTracker(model_store, index), couple)
    assert found.has_face.all()
    assert ((middles(found)[:, 0] < 590) == on_the_left).all()


def test_a_choice_beyond_the_faces_there_are_finds_none(
    couple: list[Picture], model_store: ModelStore, track: Track
) -> None:
    assert frames_with_face(track(MediapipeTracker(model_store, 2), couple[:6])) == []


def test_the_other_person_is_not_taken_while_the_followed_one_is_hidden(
    couple: list[Picture], model_store: ModelStore, track: Track
) -> None:
    hidden = [hide_the_man(picture) if 10 <= index < 25 else picture for index, picture in enumerate(couple)]
    found = track(MediapipeTracker(model_store, 0), hidden)
    assert frames_with_face(found) == [*range(10), *range(25, 40)]
    assert (middles(found)[found.has_face, 0] < 590).all()


def test_the_other_person_is_taken_once_the_followed_one_is_gone(
    couple: list[Picture], model_store: ModelStore, track: Track
) -> None:
    left_behind = [*couple[:5], *map(hide_the_man, couple[5:])]
    found = track(MediapipeTracker(model_store, 0), left_behind)
    assert not found.has_face[5 : 5 + RATE - 1].any()
    assert found.has_face[5 + RATE + 1 :].all()
    assert (middles(found)[5 + RATE + 1 :, 0] > 590).all()


def test_blank_frames_have_no_face_and_their_neighbours_do(
    woman: list[Picture], tracker: MediapipeTracker, track: Track
) -> None:
    blanks = (7, 12, 13, 14, 15, 30)
    whole, holed = track(tracker, woman), track(tracker, blank_at(woman, *blanks))
    assert frames_with_face(holed) == [index for index in range(40) if index not in blanks]
    both = holed.has_face
    distance = np.linalg.norm(mouth_corners(whole)[both] - mouth_corners(holed)[both], axis=-1)
    assert distance.max() < 4  # of a mouth 100 px wide


def test_one_blurred_frame_costs_no_more_than_itself(
    woman: list[Picture], tracker: MediapipeTracker, track: Track
) -> None:
    blurred = [*woman[:10], cv2.GaussianBlur(woman[10], (0, 0), 25), *woman[11:20]]
    assert set(frames_with_face(track(tracker, blurred))) >= set(range(20)) - {10}


@pytest.mark.parametrize(("rotation_deg", "turn"), [(90, "transpose=1"), (180, "hflip,vflip"), (270, "transpose=2")])
def test_a_face_lying_in_a_rotated_video_is_found_in_coded_pixels(
    rotation_deg: int,
    turn: str,
    clips: Path,
    tmp_path: Path,
    woman: list[Picture],
    tracker: MediapipeTracker,
    track: Track,
) -> None:
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    source, turned, tagged = clips / "retalking_face3.mp4", tmp_path / "turned.mp4", tmp_path / "tagged.mp4"
    crop = f"crop=590:440:0:100,{turn}"  # not square: width and height must not be taken for each other
    coding = ["-frames:v", "8", "-an", "-vf", crop, "-c:v", "libx264", "-crf", "8", "-pix_fmt", "yuv420p"]
    subprocess.run([*ffmpeg, "-i", source, *coding, turned], check=True)
    subprocess.run([*ffmpeg, "-display_rotation", str(rotation_deg), "-i", turned, "-c", "copy", tagged], check=True)
    lying = tracker.track(decode_frames(tagged, StageClock()), StageClock())
    upright = track(tracker, [picture[100:540] for picture in woman[:8]])
    assert lying.has_face.all()
    x, y = mouth_corners(upright)[..., 0], mouth_corners(upright)[..., 1]
    expected = {90: (439 - y, x), 180: (589 - x, 439 - y), 270: (y, 589 - x)}[rotation_deg]
    distance = np.linalg.norm(mouth_corners(lying) - np.stack(expected, axis=-1), axis=-1)
    assert distance.max() < 4  # of a mouth 100 px wide


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_person_who_lies_on_her_side_without_a_rotation_tag_is_found(
    quarters: int, woman: list[Picture], tracker: MediapipeTracker, track: Track
) -> None:
    lying = [np.ascontiguousarray(np.rot90(picture, quarters)) for picture in blank_at(woman[:8], 4)]
    found = track(tracker, lying)
    assert frames_with_face(found) == [0, 1, 2, 3, 5, 6, 7]
    left, right = mouth_corners(found)[0]
    across = {1: (0, -1), 3: (0, 1)}[quarters]  # where her left is once she is turned
    assert np.dot(right - left, across) > 0.9 * np.linalg.norm(right - left)


@pytest.mark.parametrize("clip", first_of(TALKING_CLIPS, 3))
def test_a_face_upside_down_without_a_rotation_tag_has_its_mouth_below_its_nose(
    clip: str, clips: Path, tracker: MediapipeTracker, track: Track
) -> None:
    # In a quarter of such frames the mouth was found on the forehead, and the clip followed from there.
    for picture in pictures_of(clips / clip, 97)[::24]:
        height, width = picture.shape[:2]
        upright, turned = track(tracker, [picture]), track(tracker, [np.ascontiguousarray(picture[::-1, ::-1])])
        assert turned.has_face.all()
        back = (width - 1, height - 1) - mouth_corners(turned)[0]
        across_px = np.linalg.norm(np.diff(mouth_corners(upright)[0], axis=0))
        assert np.linalg.norm(back - mouth_corners(upright)[0], axis=1).max() < 0.15 * across_px


@pytest.mark.parametrize("face_px", [50, 78, 300, 900])
def test_a_face_is_found_at_any_size_in_a_1080p_picture(face_px: int, tracker: MediapipeTracker, track: Track) -> None:
    picture = portrait_at(face_px, (1300, 500))
    found = track(tracker, [picture])
    assert found.has_face.all()
    assert np.abs(middles(found)[0] - (1300, 500)).max() < 0.3 * face_px


def test_a_face_larger_than_the_picture_is_found(clips: Path, tracker: MediapipeTracker, track: Track) -> None:
    (picture,) = pictures_of(clips / "liveportrait_d3.mp4", 1)
    x0, y0, x1, y1 = track(tracker, [picture]).boxes[0].astype(int)
    close_up = cv2.resize(picture[y0 + 20 : y1, x0 + 10 : x1 - 10], (720, 720))
    assert track(tracker, [close_up]).has_face.all()


@pytest.mark.parametrize("face", [None, 0, 1])
def test_what_only_looks_like_a_face_to_the_detector_is_not_followed(
    face: int | None, model_store: ModelStore, track: Track
) -> None:
    picture = portrait_at(60, (300, 300))
    detector = FaceDetector(model_store.verify(MODEL).path("full_range"))
    assert len(detector.detect_thoroughly(cv2.resize(picture, (576, 324), interpolation=cv2.INTER_AREA))) > 1
    found = track(MediapipeTracker(model_store, face), [picture])
    assert found.has_face.tolist() == [face != 1]
    if face != 1:
        assert np.abs(middles(found)[0] - (300, 300)).max() < 20


def test_a_ten_bit_full_colour_video_tracks_like_an_eight_bit_one(
    woman: list[Picture], tracker: MediapipeTracker
) -> None:
    eight = tracker.track(as_frames(woman[:4]), StageClock())
    ten = tracker.track(as_frames(woman[:4], "yuv444p10le"), StageClock())
    assert np.abs(mouth_corners(eight) - mouth_corners(ten)).max() < 2


def test_the_parameters_tell_apart_who_is_followed(model_store: ModelStore) -> None:
    chosen = [MediapipeTracker(model_store, face) for face in (None, 0, 1)]
    assert len({tracker.parameters for tracker in chosen}) == 3
    assert {tracker.name for tracker in chosen} == {"mediapipe/3"}


def test_tracking_fails_when_the_model_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        MediapipeTracker(ModelStore(tmp_path))
    assert caught.value.remedy == "run: lipsync models pull mediapipe-face"
