"""A signed movie says how it was made, to C2PA's own validator, and whether it is as it was."""

import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import c2pa
import pytest

from lipsync_core.errors import SigningError
from lipsync_core.memory import peak_resident_bytes
from lipsync_core.movie_signer import provenance_of
from lipsync_core.provenance.credential import SigningCredential, open_credential
from lipsync_core.provenance.settings import SigningSettings
from lipsync_core.provenance.signing import sign_movie
from lipsync_core.provenance.statement import DIGITAL_SOURCE_TYPE
from lipsync_core.provenance.verification import Verification, verification_of
from lipsync_core.provenance.xmp import digital_source_type
from lipsync_core.report import Provenance
from lipsync_core.structure.boxes import Box, whole
from tests.jobs import assert_equal_frames
from tests.provenance.certificates import KINDS, ORGANISATION, issue
from tests.provenance.statements import SHA256, STATEMENT, inputs_of
from tests.provenance.time_stamps import time_stamping

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

_MOST_GROWTH_BYTES = 20_000
_LARGE_BYTES = 400 << 20


@pytest.fixture(scope="module")
def self_made(tmp_path_factory: pytest.TempPathFactory) -> SigningCredential:
    return open_credential(SigningSettings(), tmp_path_factory.mktemp("signing"))


@pytest.fixture(scope="module")
def plain(ffmpeg: "Ffmpeg", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie that nobody has signed."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    sources = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=220")
    ffmpeg(*sources, "-t", "1", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)
    return path


@pytest.fixture(scope="module")
def signed(plain: Path, self_made: SigningCredential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signed_copy(plain, tmp_path_factory.mktemp("signed") / "signed.mp4", self_made, plain)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """An address of a server on this machine, and the paths that it is asked for."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/manifest.c2pa", requests
        server.shutdown()


def signed_copy(movie: Path, path: Path, credential: SigningCredential, video: Path) -> Path:
    """`movie` at `path`, signed as made from `video`."""
    shutil.copyfile(movie, path)
    sign_movie(path, path.name, STATEMENT, inputs_of(video), credential)
    return path


def test_the_librarys_own_validator_accepts_the_file_and_misses_only_trust(signed: Path) -> None:
    reader = c2pa.Reader(str(signed))
    assert reader.get_validation_state() == "Valid"
    failures = (reader.get_validation_results() or {})["activeManifest"]["failure"]
    assert [each["code"] for each in failures] == ["signingCredential.untrusted"]


def test_a_signed_movie_says_how_it_was_made(signed: Path, plain: Path) -> None:
    told = verification_of(signed)
    assert (told.state, told.problems) == ("intact", ())
    assert told.generator.startswith("lipsync ")
    assert [each.name for each in told.actions] == ["c2pa.opened", "c2pa.placed", "c2pa.edited", "c2pa.transcoded"]
    edited = told.actions[2]
    assert (edited.agent, edited.digital_source_type) == ("lipsync viseme 2", DIGITAL_SOURCE_TYPE)
    assert dict(edited.parameters) == {
        "lipsync.model": "viseme/2",
        "lipsync.model_licence": "Apache-2.0",
        "lipsync.frames": "25",
        "lipsync.frames_changed": "20",
    }
    assert all(each.when for each in told.actions)
    assert [(each.title, each.relationship, each.state) for each in told.sources] == [
        (plain.name, "parentOf", "none"),
        ("speech.wav", "componentOf", "none"),
    ]
    assert {each.instance_id for each in told.sources} == {f"sha256:{SHA256}"}
    assert told.xmp_source_type == DIGITAL_SOURCE_TYPE


def test_signing_changes_no_frame_and_adds_little(signed: Path, plain: Path) -> None:
    assert_equal_frames(signed, plain)
    assert 0 < signed.stat().st_size - plain.stat().st_size < _MOST_GROWTH_BYTES
    names = [box.name for box in boxes(signed.read_bytes())]
    assert names.index(b"moov") < names.index(b"mdat")  # a browser plays it while it comes


def test_a_large_movie_takes_little_memory_and_grows_little(self_made: SigningCredential, tmp_path: Path) -> None:
    """C2PA's library would hold 512 MB of it."""
    movie = tmp_path / "large.mp4"
    header = bytes.fromhex("00000018") + b"ftypisom\0\0\0\0isommp42"
    with movie.open("wb") as file:
        file.write(header + _LARGE_BYTES.to_bytes(4, "big") + b"mdat")
        file.truncate(len(header) + _LARGE_BYTES)
    plain_bytes, before = movie.stat().st_size, peak_resident_bytes()
    sign_movie(movie, movie.name, STATEMENT, inputs_of(movie), self_made)
    assert verification_of(movie).state == "intact"
    assert peak_resident_bytes() - before < 100 << 20
    assert movie.stat().st_size - plain_bytes < _MOST_GROWTH_BYTES


def boxes(data: bytes) -> list[Box]:
    """The boxes at the top of a file."""
    return list(whole(BytesIO(data), len(data)).children())


def _flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        media = next(box for box in boxes(data) if box.name == b"mdat")
        at = media.start + int(place * (media.end - media.start - 1))
        return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]

    return flip


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_one_flipped_bit_of_the_pictures_is_told(signed: Path, tmp_path: Path, place: float) -> None:
    altered = tmp_path / "altered.mp4"
    altered.write_bytes(_flipped(place)(signed.read_bytes()))
    told = verification_of(altered)
    assert (told.state, [code for code, _ in told.problems]) == ("altered", ["assertion.bmffHash.mismatch"])


@pytest.mark.parametrize("change", ["ftyp's type", "the box's type", "its UUID", "free"])
def test_credentials_that_no_reader_finds_any_more_are_altered_and_not_missing(
    signed: Path, tmp_path: Path, change: str
) -> None:
    data = bytearray(signed.read_bytes())
    store = next(box.start for box in boxes(bytes(data)) if box.name == b"uuid")
    if change == "free":
        data[store - 4 : store] = b"free"
    else:
        data[{"ftyp's type": 5, "the box's type": store - 1, "its UUID": store + 3}[change]] ^= 1
    altered = tmp_path / "altered.mp4"
    altered.write_bytes(data)
    told = verification_of(altered)
    assert (told.state, [code for code, _ in told.problems]) == ("altered", ["claim.missing"])


def test_credentials_of_something_inside_a_movie_are_not_its_own(plain: Path, signed: Path, tmp_path: Path) -> None:
    """As those of a cover image, or of a file in a box of another maker."""
    movie, whole_file = tmp_path / "movie.mp4", signed.read_bytes()
    movie.write_bytes(plain.read_bytes() + _box(b"abcd", whole_file))
    assert verification_of(movie).state == "none"


@pytest.mark.parametrize("name", [b"free", b"skip", b"ftyp", b"uuid"])
def test_bytes_that_no_signature_covers_are_counted(signed: Path, tmp_path: Path, name: bytes) -> None:
    assert verification_of(signed).uncovered_bytes == 0
    added = b"added by a stranger"
    if name == b"uuid":  # of C2PA's, for a purpose that nobody knows
        added = bytes.fromhex("d8fec3d61b0e483c92975828877ec481 00000000") + b"purpose\0" + added
    movie = tmp_path / "movie.mp4"
    movie.write_bytes(signed.read_bytes() + _box(name, added))
    told = verification_of(movie)
    assert (told.state, told.uncovered_bytes) == ("intact", len(added))


@pytest.mark.parametrize("name", [b"uuid", b"mdat", b"abcd"])
def test_another_box_behind_the_end_is_told(signed: Path, tmp_path: Path, name: bytes) -> None:
    movie = tmp_path / "movie.mp4"
    movie.write_bytes(signed.read_bytes() + _box(name, b"added by a stranger"))
    assert verification_of(movie).state == "altered"


def _box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def test_another_kind_of_source_in_xmp_is_told(signed: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered.mp4"
    altered.write_bytes(signed.read_bytes().replace(b"compositeWithTrained", b"compositeWithUntrain"))
    assert verification_of(altered).state == "altered"


def test_a_cut_off_end_is_told(signed: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered.mp4"
    altered.write_bytes(signed.read_bytes()[:-3000])
    assert verification_of(altered).state == "altered"


@pytest.mark.parametrize("options", [("-c", "copy", "-t", "0.5"), ("-c:v", "libx264"), ("-vf", "scale=160:90")])
def test_a_cut_or_an_encode_by_others_loses_the_signature_and_does_not_keep_it_wrongly(
    signed: Path, ffmpeg: "Ffmpeg", tmp_path: Path, options: tuple[str, ...]
) -> None:
    ffmpeg("-i", signed, *options, tmp_path / "other.mp4")
    assert verification_of(tmp_path / "other.mp4").state == "none"


@pytest.mark.parametrize("kind", KINDS)
def test_an_operators_certificate_is_trusted_by_those_who_trust_its_authority(
    plain: Path, tmp_path: Path, kind: str
) -> None:
    issued = issue(tmp_path, kind)
    path = signed_copy(plain, tmp_path / "out.mp4", open_credential(issued.settings, tmp_path), plain)
    assert verification_of(path).state == "intact"
    told = verification_of(path, issued.authority.read_text())
    assert (told.state, told.signer) == ("trusted", f"{ORGANISATION}, signer")


def test_a_source_keeps_its_own_credentials(
    signed: Path, plain: Path, self_made: SigningCredential, tmp_path: Path
) -> None:
    again = signed_copy(plain, tmp_path / "again.mp4", self_made, signed)
    told = verification_of(again)
    assert (told.state, told.sources[0].state) == ("intact", "valid")
    manifests = c2pa.Reader(str(again)).json()
    assert c2pa.Reader(str(signed)).get_active_manifest()["label"] in manifests  # type: ignore[index]


def test_a_signed_source_that_was_altered_is_said_to_be_so(
    signed: Path, plain: Path, self_made: SigningCredential, tmp_path: Path
) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(_flipped(0.5)(signed.read_bytes()))
    path = tmp_path / "again.mp4"
    shutil.copyfile(plain, path)
    assert sign_movie(path, path.name, STATEMENT, inputs_of(source), self_made).source == "altered"
    told = verification_of(path)
    assert (told.state, told.sources[0].state) == ("intact", "altered")


@pytest.mark.parametrize("is_operators", [False, True])
@pytest.mark.parametrize("state", ["none", "valid", "altered"])
def test_what_was_told_of_a_signature_is_read_back_from_the_movie(
    signed: Path, plain: Path, self_made: SigningCredential, tmp_path: Path, state: str, is_operators: bool
) -> None:
    source, movie = tmp_path / "source.mp4", tmp_path / "movie.mp4"
    source.write_bytes((plain if state == "none" else signed).read_bytes())
    if state == "altered":
        source.write_bytes(_flipped(0.5)(source.read_bytes()))
    credential = open_credential(issue(tmp_path).settings, tmp_path) if is_operators else self_made
    shutil.copyfile(plain, movie)
    told = sign_movie(movie, movie.name, STATEMENT, inputs_of(source), credential)
    assert told.source == state
    found = provenance_of(verification_of(movie))
    assert found == Provenance(told.subject, told.is_self_made, told.source)


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "film.mov", "film.webm"])
def test_a_source_of_any_container_is_named(
    plain: Path, self_made: SigningCredential, ffmpeg: "Ffmpeg", tmp_path: Path, name: str
) -> None:
    ffmpeg("-i", plain, *(() if name.endswith("webm") else ("-c:v", "mpeg4")), tmp_path / name)
    told = verification_of(signed_copy(plain, tmp_path / "out.mp4", self_made, tmp_path / name))
    assert (told.state, told.sources[0].title, told.sources[0].state) == ("intact", name, "none")


def test_no_address_that_a_file_names_is_asked(
    plain: Path, self_made: SigningCredential, asked: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, requests = asked
    source = tmp_path / "remote.mp4"
    created = {"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]
    builder = c2pa.Builder({"claim_generator_info": [{"name": "another"}], "assertions": assertions})
    builder.set_no_embed()
    builder.set_remote_url(address)
    signer = c2pa.Signer.from_callback(self_made.sign, c2pa.C2paSigningAlg.ES256, self_made.chain_pem)
    with plain.open("rb") as original, source.open("w+b") as target:
        builder.sign(signer, "video/mp4", original, target)
    requests.clear()
    signed_copy(plain, tmp_path / "out.mp4", self_made, source)
    verification_of(source)
    assert requests == []
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader(str(source))
    assert requests == ["/manifest.c2pa"]  # the library itself asks, unless it is told not to


def test_signing_fails_when_the_time_stamp_server_is_away_and_leaves_the_movie_as_it_was(
    plain: Path, self_made: SigningCredential, tmp_path: Path
) -> None:
    movie = tmp_path / "movie.mp4"
    shutil.copyfile(plain, movie)
    late = replace(self_made, timestamp_url="http://user:SECRET@127.0.0.1:9/stamp?key=SECRET")
    with pytest.raises(
        SigningError, match=r"movie\.mp4 could not be signed: .*\(http://127\.0\.0\.1:9/stamp\)"
    ) as caught:
        sign_movie(movie, movie.name, STATEMENT, inputs_of(plain), late)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.code == "SIGNING_FAILED"
    assert movie.read_bytes() == plain.read_bytes()
    assert list(tmp_path.iterdir()) == [movie]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_time_stamp_server_confirms_when_a_movie_was_signed(
    plain: Path, self_made: SigningCredential, signed: Path, tmp_path: Path
) -> None:
    assert verification_of(signed).signed_at == ""
    with time_stamping(tmp_path / "stamps") as url:
        path = signed_copy(plain, tmp_path / "out.mp4", replace(self_made, timestamp_url=url), plain)
    told = verification_of(path)
    assert (told.state, told.problems) == ("intact", ())
    assert abs(datetime.fromisoformat(told.signed_at) - datetime.now(UTC)) < timedelta(hours=1)
    assert path.stat().st_size - plain.stat().st_size < _MOST_GROWTH_BYTES


def test_a_file_that_ends_in_the_middle_of_a_manifest_is_altered(signed: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(signed.read_bytes()[:6000])
    told: Verification = verification_of(cut)
    assert (told.state, told.signer) == ("altered", "")


@pytest.mark.parametrize("content", [b"", b"text", b"\0\0\0\x18ftypisom", b"RIFF\0\0\0\0WAVE"])
def test_a_file_without_credentials_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    told = verification_of(path)
    assert (told.state, told.xmp_source_type) == ("none", None)
    assert digital_source_type(path) is None


def test_a_signed_movie_can_be_sought_to_any_second(signed: Path) -> None:
    with av.open(str(signed)) as container:
        container.seek(500_000)
        frame = next(container.decode(video=0))
        assert frame.pts is not None
