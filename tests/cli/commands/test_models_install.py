"""`lipsync models pull` and `import`: the real registry through a proxy, and a small one of the test's own."""

import errno
import hashlib
import json
import os
import pickle
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from lipsync_cli.main import main
from lipsync_core.models import store
from lipsync_core.models.registry import ModelEntry, ModelMember, UrlSource
from tests.cli.conftest import LIPSYNC
from tests.wav2lip_weights import needs_torch
from tests.web import Answer, FileServer, ForwardProxy, serving

GAN_PATH = "/camenduru/Wav2Lip/resolve/main/checkpoints/wav2lip_gan.pth"
CONTENT = bytes(range(256)) * 4000
LICENCE = "Wav2Lip: personal, research and non-commercial use only"


@pytest.fixture
def proxy(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """A proxy, named in the user's settings, through which `server` answers for every host."""
    proxy = ForwardProxy(server)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with serving(proxy):
        yield proxy


@pytest.fixture
def tiny(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> ModelEntry:
    """The only model in the registry; its licence forbids commercial use."""
    server.answers["/tiny.onnx"] = Answer(CONTENT)
    sums = (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    source = UrlSource(server.url("/tiny.onnx"))
    members = (ModelMember("net", PurePosixPath("tiny.onnx"), *sums),)
    entry = ModelEntry("tiny", "tests", "Research only", "https://example.org/r", False, source, members)
    monkeypatch.setattr(store, "registered_models", lambda: (entry,))
    return entry


def lipsync(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run([LIPSYNC, *arguments], capture_output=True, text=True, check=False, timeout=60)


def assert_refused(code: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on standard error, which gives the reason; lines of progress may come before it."""
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.splitlines()[-1]
    assert line.startswith(f"lipsync: error {code}: ")
    assert captured.err.count("lipsync: error") == 1
    return line


def test_pull_fails_with_the_licence_and_the_command_when_it_is_not_accepted(
    server: FileServer, proxy: ForwardProxy, tmp_path: Path
) -> None:
    done = lipsync("models", "pull", "wav2lip-gan", "--home", tmp_path)
    assert done.returncode == 6
    assert done.stderr == (
        f"lipsync: error LICENCE_NOT_ACCEPTED: wav2lip-gan comes under the licence '{LICENCE}', which forbids "
        "commercial use: https://github.com/Rudrabha/Wav2Lip#license-and-citation; to accept it, run: "
        "lipsync models pull wav2lip-gan --accept-licence\n"
    )
    assert done.stdout == ""
    assert proxy.asked == []
    assert list(tmp_path.iterdir()) == []


def test_the_real_address_is_asked_through_the_users_proxy(
    server: FileServer, proxy: ForwardProxy, tmp_path: Path
) -> None:
    server.answers[GAN_PATH] = Answer(b"<!doctype html><title>Sign in</title>", content_type="text/html")
    done = lipsync("models", "pull", "wav2lip-gan", "--accept-licence", "--home", tmp_path)
    assert done.returncode == 6
    said, failed = done.stderr.splitlines()
    assert said.startswith(f"wav2lip-gan: you accept its licence, which forbids commercial use: {LICENCE} (https://")
    assert failed.startswith("lipsync: error MODEL_CORRUPT: https://huggingface.co" + GAN_PATH + " is an HTML page")
    assert proxy.asked == ["huggingface.co:443"]
    assert [path for path, _ in server.requests] == [GAN_PATH]
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("wav2lip", "/rippertnt/wav2lip/resolve/main/checkpoints/wav2lip.pth"),
        ("scrfd", "/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip"),
        ("gfpgan", "/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth"),
        ("syncnet", "/~vgg/software/lipsync/data/syncnet_v2.model"),
    ],
)
def test_pull_fails_when_the_server_has_another_file(
    name: str, path: str, server: FileServer, proxy: ForwardProxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers[path] = Answer(CONTENT)
    assert main(["models", "pull", name, "--accept-licence", "--home", str(tmp_path)]) == 6
    line = assert_refused("MODEL_CORRUPT", capsys)
    assert f"has {len(CONTENT)} bytes, not the registered" in line
    assert "lipsync models import" in line


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_ctrl_c_keeps_the_part_that_came_and_says_so(
    is_terminal: bool, server: FileServer, proxy: ForwardProxy, tmp_path: Path
) -> None:
    server.answers[GAN_PATH] = Answer(CONTENT * 10, etag='"one"', is_length_said=False, stalls_at=400_000)
    partial = tmp_path / "models" / "wav2lip-gan" / "wav2lip_gan.pth.partial"
    arguments = ["models", "pull", "wav2lip-gan", "--accept-licence", "--home", str(tmp_path)]
    near, far = pty.openpty()
    with subprocess.Popen(
        [LIPSYNC, *arguments], stdout=subprocess.PIPE, stderr=far if is_terminal else subprocess.PIPE
    ) as child:
        os.close(far)
        wait_until(lambda: partial.exists() and partial.stat().st_size > 200_000)
        child.send_signal(signal.SIGINT)
        said = read_terminal(near) if is_terminal else child.communicate()[1].decode()
    os.close(near)
    assert child.returncode == 130
    kept_bytes = partial.stat().st_size
    assert "wav2lip-gan: downloading" in said
    line = said.splitlines()[-1]
    assert f"stopped by SIGINT; {kept_bytes / 1e6:.1f} MB of the download are kept; the same command goes on" in line
    assert not list(tmp_path.rglob("*.lock"))

    server.answers[GAN_PATH] = Answer(b"<html>", content_type="text/html", takes_ranges=False)
    assert lipsync(*arguments).returncode == 6
    assert server.ranges()[-1] == f"bytes={kept_bytes}-"
    assert server.requests[-1][1]["If-Range"] == '"one"'
    assert partial.stat().st_size == kept_bytes


def read_terminal(descriptor: int) -> str:
    said = b""
    while True:
        try:
            block = os.read(descriptor, 4096)
        except OSError as exc:  # no process writes any more
            assert exc.errno == errno.EIO
            return said.decode()
        said += block


def test_pull_installs_and_the_list_says_so(
    tiny: ModelEntry, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home = ["--home", str(tmp_path)]
    assert main(["models", "list", *at_home]) == 0
    text = capsys.readouterr().out
    assert "tiny  [missing]" in text
    assert "Research only; no commercial use; not accepted, see https://example.org/r" in text
    assert "to install: lipsync models pull tiny --accept-licence" in text

    assert main(["models", "pull", "tiny", "--accept-licence", *at_home]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"tiny is now installed in {tmp_path / 'models'} (Research only)\n"
    lines = captured.err.splitlines()
    assert (
        lines[0] == "tiny: you accept its licence, which forbids commercial use: Research only (https://example.org/r)"
    )
    assert lines[1] == "tiny: downloading, 0.0 of 1.0 MB"

    assert main(["models", "pull", "tiny", "--accept-licence", *at_home]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"tiny is installed in {tmp_path / 'models'}\n"
    assert captured.err == ""
    assert len(server.requests) == 1

    assert main(["models", "list", *at_home]) == 0
    text = capsys.readouterr().out
    assert "tiny  [installed]" in text
    assert "no commercial use; accepted on 2" in text
    assert "lipsync models pull" not in text
    assert main(["models", "verify", *at_home]) == 0
    assert capsys.readouterr().out == "tiny: every file has its registered sha256\n"


def test_the_list_as_json_says_what_may_be_used(
    tiny: ModelEntry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed() -> dict[str, object]:
        assert main(["models", "list", "--json", "--home", str(tmp_path)]) == 0
        fields: dict[str, object] = json.loads(capsys.readouterr().out)["models"][0]
        return fields

    before = listed()
    assert (before["status"], before["is_usable"], before["licence_accepted_on"]) == ("missing", False, None)
    assert main(["models", "pull", "tiny", "--accept-licence", "--home", str(tmp_path)]) == 0
    capsys.readouterr()
    after = listed()
    assert (after["status"], after["is_usable"], after["commercial_use"]) == ("installed", True, False)
    assert str(after["licence_accepted_on"]).startswith("2")
    (tmp_path / "models" / "accepted-licences" / "tiny.json").unlink()
    assert (listed()["status"], listed()["is_usable"]) == ("installed", False)


def test_pull_fails_with_the_status_of_transient_failures_when_the_network_is_down(
    tiny: ModelEntry,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.answers["/tiny.onnx"].failures = [503] * 9
    assert main(["models", "pull", "tiny", "--accept-licence", "--home", str(tmp_path)]) == 75
    assert "503" in assert_refused("TRANSIENT", capsys)


def test_import_takes_a_file_that_the_user_has(
    tiny: ModelEntry, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "my file.onnx"
    mine.write_bytes(CONTENT)
    arguments = ["models", "import", str(mine), "--as", "tiny", "--home", str(tmp_path)]
    assert main(arguments) == 6
    assert "lipsync models import" in assert_refused("LICENCE_NOT_ACCEPTED", capsys)
    assert main([*arguments, "--accept-licence"]) == 0
    assert capsys.readouterr().out == f"tiny is now installed in {tmp_path / 'models'}, from {mine} (Research only)\n"
    assert server.requests == []


class Hostile:
    """Makes a folder if it is unpickled without care."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.trap),)


@needs_torch
@pytest.mark.parametrize("name", ["wav2lip", "wav2lip-gan"])
def test_import_fails_when_the_checkpoint_is_hostile(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Hostile(trap)))
    home = ["--home", str(tmp_path / "home")]
    assert main(["models", "import", str(tmp_path / "evil.pth"), "--as", name, "--accept-licence", *home]) == 6
    assert "evil.pth" in assert_refused("MODEL_CORRUPT", capsys)
    assert not trap.exists()
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


@needs_torch
def test_import_fails_when_the_checkpoint_is_truncated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    path = tmp_path / "cut.pth"
    torch.save({"state_dict": {"weight": torch.zeros(50_000)}}, path)
    path.write_bytes(path.read_bytes()[:100_000])
    home = ["--home", str(tmp_path / "home")]
    assert main(["models", "import", str(path), "--as", "wav2lip", "--accept-licence", *home]) == 6
    assert "cut.pth" in assert_refused("MODEL_CORRUPT", capsys)


@pytest.mark.parametrize(
    ("content", "code", "fault"),
    [
        (None, "MODEL_MISSING", "there is no model file"),
        (b"<!DOCTYPE html>", "MODEL_CORRUPT", "is an HTML page, not a model"),
        (b"", "MODEL_CORRUPT", "is empty"),
        (b"\x08" + bytes(500), "MODEL_CORRUPT", "mine.pth"),
    ],
    ids=["absent", "HTML page", "empty", "nonsense"],
)
def test_import_fails_when_the_file_is_no_model(
    content: bytes | None, code: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "mine.pth").write_bytes(content)
    arguments = ["models", "import", str(tmp_path / "mine.pth"), "--as", "wav2lip", "--accept-licence"]
    assert main([*arguments, "--home", str(tmp_path / "home")]) == 6
    assert fault in assert_refused(code, capsys)


def test_import_fails_with_the_command_when_torch_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it was not installed
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04")
    arguments = ["models", "import", str(tmp_path / "a.pth"), "--as", "wav2lip", "--accept-licence"]
    assert main([*arguments, "--home", str(tmp_path / "home")]) == 6
    assert "pip install" in assert_refused("MODEL_INVALID", capsys)


def test_import_fails_when_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "import", "a.pth", "--home", str(tmp_path)]) == 2
    assert "--as" in assert_refused("BAD_OPTION", capsys)
