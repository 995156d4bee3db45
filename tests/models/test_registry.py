import re

import pytest

from lipsync_core.errors import ModelError
from lipsync_core.models.registry import find_model, parse_registry, registered_models

ENTRY = """
[tiny]
purpose = "tests"
licence = "MIT"
commercial_use = true
source = {kind = "wheel", package = "tiny", version = "1", download_bytes = 3}
members = [{name = "net", path = "a/net.tflite", sha256 = "00", size_bytes = 2}]
"""


def test_every_registered_model_says_where_it_comes_from_and_what_it_may_be_used_for() -> None:
    names = [entry.name for entry in registered_models()]
    assert "mediapipe-face" in names
    assert len(set(names)) == len(names)
    for entry in registered_models():
        assert entry.purpose and entry.licence and entry.source.version
        assert entry.members
        assert len({member.file_name for member in entry.members}) == len(entry.members)
        for member in entry.members:
            assert re.fullmatch("[0-9a-f]{64}", member.sha256)
            assert member.size_bytes > 0


def test_the_embedded_face_model_may_be_used_commercially() -> None:
    entry = find_model("mediapipe-face")
    assert entry.commercial_use
    assert entry.licence == "Apache-2.0"
    assert {member.name for member in entry.members} == {"full_range", "face_landmark"}


def test_an_entry_is_read_from_toml() -> None:
    (entry,) = parse_registry(ENTRY)
    assert entry.name == "tiny"
    assert str(entry.source) == "tiny==1 (Python wheel)"
    assert entry.member("net").file_name == "net.tflite"
    assert entry.size_bytes == 2


def test_find_model_fails_when_the_name_is_unknown() -> None:
    with pytest.raises(ModelError, match="no model 'wav3lip'") as caught:
        find_model("wav3lip")
    assert "mediapipe-face" in caught.value.remedy


def test_member_fails_when_the_name_is_unknown() -> None:
    with pytest.raises(ModelError, match="has no file 'iris'"):
        find_model("mediapipe-face").member("iris")


@pytest.mark.parametrize(
    "text",
    [
        "[tiny",
        ENTRY.replace('licence = "MIT"', ""),
        ENTRY.replace('"wheel"', '"carrier pigeon"'),
        ENTRY.replace('sha256 = "00", ', ""),
        ENTRY.replace("commercial_use", "comercial_use"),
    ],
    ids=["not TOML", "no licence", "unknown kind", "no sum", "unknown field"],
)
def test_parse_registry_fails_when_an_entry_is_malformed(text: str) -> None:
    with pytest.raises(ModelError, match="model registry"):
        parse_registry(text)
