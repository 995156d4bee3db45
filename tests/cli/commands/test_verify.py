"""`lipsync verify` judges a movie by what it says of itself, and by the authorities that the user names."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lipsync_core.provenance.credential import open_credential
from lipsync_core.provenance.signing import sign_movie
from tests.cli.conftest import RunLipSync, write_movie
from tests.provenance.certificates import Issued, issue
from tests.provenance.statements import STATEMENT, inputs_of


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("issued"))


@pytest.fixture(scope="module")
def signed(issued: Issued, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_movie(tmp_path_factory.mktemp("signed") / "signed.mp4")
    sign_movie(path, path.name, STATEMENT, inputs_of(path), open_credential(issued.settings, path.parent))
    return path


def test_a_signer_is_trusted_where_its_authority_is(lipsync_here: RunLipSync, signed: Path, issued: Issued) -> None:
    states = []
    for trust in ((), ("--trust", issued.authority)):
        done = lipsync_here("verify", signed, "--json", *trust)
        assert (done.returncode, done.stderr) == (0, "")
        states.append(json.loads(done.stdout)["state"])
    assert states == ["intact", "trusted"]


def test_bytes_that_no_signature_covers_are_told(lipsync_here: RunLipSync, signed: Path, tmp_path: Path) -> None:
    assert "no signature covers" not in lipsync_here("verify", signed).stdout
    longer = tmp_path / "longer.mp4"
    longer.write_bytes(signed.read_bytes() + bytes.fromhex("0000000c") + b"freemore")
    done = lipsync_here("verify", longer)
    assert done.returncode == 0
    assert "beside   4 bytes that no signature covers\n" in done.stdout
    assert json.loads(lipsync_here("verify", longer, "--json").stdout)["uncovered_bytes"] == 4


def test_a_strangers_texts_begin_no_line_and_move_no_cursor(
    lipsync_here: RunLipSync, issued: Issued, tmp_path: Path
) -> None:
    evil = "x\x1b[2J\nstate    trusted\r\x9b\u202e\u2066\x85"
    movie = write_movie(tmp_path / "evil.mp4", comment=evil)
    inputs = tuple(replace(each, title=f"{evil}{number}") for number, each in enumerate(inputs_of(movie)))
    statement = replace(STATEMENT, model=f"{evil}/{evil}", model_licence=evil, enhancer=f"{evil}{'y' * 5000}")
    sign_movie(movie, evil, statement, inputs, open_credential(issued.settings, tmp_path))
    done = lipsync_here("verify", movie)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("state")] == [lines[0]]
    assert len([line for line in lines if line.startswith("source")]) == 2
    assert done.stdout.count("[2J\N{REPLACEMENT CHARACTER}state") >= 5
    assert all(line.isprintable() and len(line) <= 1001 for line in lines)
    told = json.loads(lipsync_here("verify", movie, "--json").stdout)
    assert told["title"] == evil
    assert len(told["actions"]) == len([line for line in lines if line.startswith("action")])


def _made(change: Callable[[bytes], bytes]) -> Callable[[Path, Issued], object]:
    return lambda path, issued: path.write_bytes(change(issued.authority.read_bytes()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_made(lambda _: b"garbage"), "holds no whole PEM certificate"),
        (_made(lambda _: b""), "holds no whole PEM certificate"),
        (_made(lambda _: b"\xff\xfe\0\1"), "holds no whole PEM certificate"),
        (_made(lambda pem: pem[:200]), "holds no whole PEM certificate"),
        (_made(lambda pem: pem + pem[:200]), "holds no whole PEM certificate"),
        (_made(lambda pem: pem[:100] + pem[140:]), "holds no whole PEM certificate"),
        (_made(lambda pem: pem + b"\n" * (1 << 20)), "cannot be read: it has more than 1 MiB"),
        (lambda path, issued: path.symlink_to(issued.key), "holds no whole PEM certificate"),
        (lambda path, issued: path.symlink_to(issued.certificate), "certificate 1 of the trust file"),
        (lambda path, _: path.symlink_to("/dev/null"), "cannot be read: it is not a regular file"),
        (lambda path, _: path.symlink_to("/dev/zero"), "cannot be read: it is not a regular file"),
        (lambda path, _: os.mkfifo(path), "cannot be read: it is not a regular file"),
        (lambda path, _: path.mkdir(), "cannot be read: Is a directory"),
    ],
)
def test_verify_fails_when_the_trust_file_names_no_authority_and_judges_no_movie(
    lipsync_here: RunLipSync,
    signed: Path,
    issued: Issued,
    tmp_path: Path,
    make: Callable[[Path, Issued], object],
    said: str,
) -> None:
    make(tmp_path / "trust.pem", issued)
    done = lipsync_here("verify", signed, "--trust", "trust.pem")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lipsync: error BAD_OPTION: ")
    assert "the trust file trust.pem" in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_verify_fails_when_the_trust_file_is_missing(lipsync_here: RunLipSync, signed: Path) -> None:
    done = lipsync_here("verify", signed, "--trust", "none.pem")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("lipsync: error FILE_NOT_FOUND: none.pem does not exist; ")
