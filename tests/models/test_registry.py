import re
from pathlib import Path

import pytest

from lipsync_core.errors import ModelError
from lipsync_core.models.registry import (
    PathSource,
    UrlSource,
    ZipSource,
    choose_entry,
    parse_registry,
    registered_models,
)

ENTRY = """
[tiny]
purpose = "tests"
licence = "MIT"
licence_url = "https://example.org/licence"
commercial_use = true
source = {kind = "wheel", package = "tiny", version = "1", download_bytes = 3}
members = [{name = "net", path = "a/net.tflite", sha256 = "00", size_bytes = 2}]
"""
WHEEL = re.compile("source = .*")


def test_every_registered_model_says_where_it_comes_from_and_what_it_may_be_used_for() -> None:
    names = [entry.name for entry in registered_models()]
    assert "mediapipe-face" in names
    assert len(set(names)) == len(names)
    for entry in registered_models():
        assert entry.purpose and entry.licence and str(entry.source)
        assert entry.licence_url.startswith("https://")
        assert entry.members
        assert len({member.file_name for member in entry.members}) == len(entry.members)
        for member in entry.members:
            assert re.fullmatch("[0-9a-f]{64}", member.sha256)
            assert member.size_bytes > 0


def test_the_embedded_face_model_may_be_used_commercially() -> None:
    entry = choose_entry(registered_models(), "mediapipe-face")
    assert entry.commercial_use
    assert entry.licence == "Apache-2.0"
    assert {member.name for member in entry.members} == {"full_range", "face_landmark"}


def test_an_entry_is_read_from_toml() -> None:
    (entry,) = parse_registry(ENTRY)
    assert entry.name == "tiny"
    assert str(entry.source) == "tiny==1 (Python wheel)"
    assert [(member.name, member.file_name) for member in entry.members] == [("net", "net.tflite")]
    assert entry.size_bytes == 2


def test_the_neural_models_have_the_sums_and_licences_of_their_publishers() -> None:
    facts = {
        entry.name: (type(entry.source), entry.members[0].file_name, entry.size_bytes, entry.commercial_use)
        for entry in registered_models()
        if entry.is_optional
    }
    assert facts == {
        "wav2lip": (UrlSource, "wav2lip.pth", 435_807_851, False),
        "wav2lip-gan": (UrlSource, "wav2lip_gan.pth", 435_801_865, False),
        "scrfd": (ZipSource, "det_10g.onnx", 16_923_827, False),
        "gfpgan": (UrlSource, "GFPGANv1.4.pth", 348_632_874, True),
        "syncnet": (UrlSource, "syncnet_v2.model", 54_573_114, False),
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{kind = "https", url = "https://example.org/a"}', UrlSource("https://example.org/a")),
        (
            '{kind = "zip", url = "https://example.org/a.zip", sha256 = "11", size_bytes = 9}',
            ZipSource("https://example.org/a.zip", "11", 9),
        ),
        ('{kind = "path", path = "/models/net.tflite"}', PathSource(Path("/models/net.tflite"))),
    ],
    ids=["https", "zip", "path"],
)
def test_every_kind_of_source_is_read(source: str, expected: object) -> None:
    (entry,) = parse_registry(WHEEL.sub(f"source = {source}", ENTRY))
    assert entry.source == expected
    assert str(entry.source).startswith(("https://example.org/a", "/models/net.tflite"))


@pytest.mark.parametrize("kind", ['"https", ', '"zip", sha256 = "11", size_bytes = 9, '])
@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/a", "http://example.org/a", "file:///a", "a"])
def test_parse_registry_fails_when_an_address_is_not_https(kind: str, url: str) -> None:
    with pytest.raises(ModelError, match="is not an https address"):
        parse_registry(WHEEL.sub(f'source = {{kind = {kind}url = "{url}"}}', ENTRY))


def test_choosing_an_entry_fails_when_the_name_is_unknown() -> None:
    with pytest.raises(ModelError, match="no model 'wav3lip'") as caught:
        choose_entry(registered_models(), "wav3lip")
    assert "mediapipe-face" in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "[tiny",
        ENTRY.replace('licence = "MIT"', ""),
        ENTRY.replace('"wheel"', '"carrier pigeon"'),
        ENTRY.replace('sha256 = "00", ', ""),
        ENTRY.replace("commercial_use", "comercial_use"),
        ENTRY.replace("licence_url", "imported_by"),
        ENTRY + 'imported_by = "magic"',
        WHEEL.sub('source = {kind = "https", url = "https://example.org/a"}', ENTRY).replace("[{", "[{}, {"),
        re.sub("members = .*", "members = []\nimported_by = 'wav2lip'", ENTRY),
    ],
    ids=[
        "not TOML",
        "no licence",
        "unknown kind",
        "no sum",
        "unknown field",
        "no address of the licence",
        "unknown importer",
        "empty member",
        "nothing to import",
    ],
)
def test_parse_registry_fails_when_an_entry_is_malformed(text: str) -> None:
    with pytest.raises(ModelError, match="model registry"):
        parse_registry(text)
