"""The service as people use it: a real browser opens Prefect's UI, fills in the form and looks at the run.

If LIPSYNC_UI_PICTURES names a folder, such as docs, the test of a whole job writes the documentation's pictures.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import av
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from lipsync_service.client.request import LipSyncRequest
from tests.browsers import open_browser

if TYPE_CHECKING:  # conftest.py is no module of its own
    from tests.conftest import Ffmpeg
    from tests.stack.conftest import Service

_SOURCE = Path(__file__).resolve().parents[2]
_PAGE_LIMIT_MS = 30_000
_JOB_LIMIT_MS = 120_000
_PICTURE_PX = {"width": 1280, "height": 1000}
_ENDED = re.compile("Completed|Duplicate|Failed|Crashed|Cancelled")
#: Fields that may be empty, and are by default.
_UNSET = {"face", "fps", "max_size", "video_track", "audio_track", "callback_url", "idempotency_key", "tenant"}
_SWITCHES = {"enhance_quality", "keep_depth", "provenance", "strict"}
KeepPicture = Callable[[str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page."""
    expect.set_options(timeout=_PAGE_LIMIT_MS)
    opened = browser.new_page(viewport=_PICTURE_PX)
    opened.set_default_timeout(_PAGE_LIMIT_MS)
    yield opened
    opened.close()


@pytest.fixture
def keep_picture(page: Page, tmp_path: Path) -> KeepPicture:
    """Write the page as a small PNG of a name, if LIPSYNC_UI_PICTURES asks for pictures."""
    folder = os.environ.get("LIPSYNC_UI_PICTURES")

    def keep(name: str) -> None:
        if folder:
            page.wait_for_timeout(3000)  # animations have ended
            page.screenshot(path=tmp_path / name)
            with Image.open(tmp_path / name) as shot:
                shot.convert("RGB").quantize(256).save(Path(folder) / name, optimize=True)

    return keep


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the demo's portrait, which is in the public domain."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    command = [sys.executable, _SOURCE / "demo" / "make_face_clip.py", path, "--frames", "30", "--size", "640x360"]
    subprocess.run(command, check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def speech(ffmpeg: "Ffmpeg", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the demo's speech."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-i", _SOURCE / "demo" / "speech.wav", "-t", "2", path)
    return path


class Form:
    """The form in which a person fills in a request."""

    def __init__(self, page: Page, service: "Service") -> None:
        """Open the form as a person would: from the list of deployments through the deployment to its custom run."""
        self._page = page
        page.goto(f"{service.layout.ui_url}/deployments")
        page.get_by_role("link", name="lipsync", exact=True).first.click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run").click()
        self.field("Idempotency key").wait_for()

    def field(self, title: str) -> Locator:
        """The part of the form with this title, description and input."""
        exactly = re.compile(rf"^\s*{re.escape(title)}( \(Optional\))?\s*$")
        label = self._page.locator(".schema-form-property__label").filter(has_text=exactly)
        return self._page.locator(".schema-form-property").filter(has=label).last  # the innermost

    def fill(self, title: str, value: str) -> None:
        """Type into a field."""
        self.field(title).locator("textarea, input").fill(value)

    def set_kind(self, title: str, kind: str) -> None:
        """Choose whether an optional field is empty."""
        self.field(title).get_by_role("button", name=kind, exact=True).click()

    def choices(self, title: str) -> list[str]:
        """The choices of a field's list."""
        self.field(title).locator(".p-select-button__icon").click()
        options = self._page.get_by_role("option")
        options.first.wait_for()
        offered = options.all_inner_texts()
        options.first.click()
        expect(options).to_have_count(0)
        return offered

    def submit(self) -> None:
        """Submit the form."""
        self._page.get_by_role("button", name="Submit", exact=True).click()


def test_the_form_says_of_every_field_what_it_is_and_what_it_is_by_default(service: "Service", page: Page) -> None:
    form = Form(page, service)
    for name, field in LipSyncRequest.model_fields.items():
        shown = form.field(str(field.title))
        expect(shown).to_contain_text(str(field.description))
        if name in _UNSET:
            expect(shown).to_contain_text('Property is type "None"')
        elif name in _SWITCHES:
            expect(shown.get_by_role("switch")).to_be_checked(checked=bool(field.default))
        elif not field.is_required() and name != "metadata":
            value = shown.locator("button[modelvalue], input, textarea").first
            is_list = value.evaluate("element => element.tagName") == "BUTTON"
            shown_value = value.inner_text() if is_list else value.input_value()
            assert shown_value == str(field.default).removesuffix(".0"), name


def test_the_form_offers_the_choices_of_a_field(service: "Service", page: Page) -> None:
    form = Form(page, service)
    for name in ("model", "length", "extend", "pix_fmt", "deinterlace", "audio_codec", "priority"):
        field = LipSyncRequest.model_json_schema()["properties"][name]
        assert form.choices(field["title"]) == field["enum"]


@pytest.mark.parametrize(
    ("title", "value", "complaint"),
    [
        ("CRF", "99", "99 is greater than the maximum of 51"),
        ("Minimum share synced", "2", "2 is greater than the maximum of 1"),
        ("Metadata", '{"shot": 12}', "12 is not of type 'string'"),
        ("Largest size", "large", "'large' is not valid under any of the given schemas"),
    ],
)
def test_the_form_fails_and_says_why_when_a_value_is_out_of_bounds(
    service: "Service", page: Page, title: str, value: str, complaint: str
) -> None:
    form = Form(page, service)
    for required in ("Video", "Audio", "Output"):
        form.fill(required, "s3://lipsync/none.mp4")
    if title == "Largest size":
        form.set_kind(title, "str")
    form.fill(title, value)
    form.submit()
    expect(page.get_by_text(complaint).first).to_be_visible()
    assert page.url.split("?")[0].endswith("/run")


def test_a_job_from_the_form_completes_and_shows_what_it_did(
    service: "Service", page: Page, keep_picture: KeepPicture, face: Path, speech: Path, tmp_path: Path
) -> None:
    key, form = uuid4().hex, Form(page, service)
    form.fill("Video", service.put(face, "ui/face.mp4"))
    form.fill("Audio", service.put(speech, "ui/speech.wav"))
    form.fill("Output", "s3://lipsync/ui/out.mp4")
    keep_picture("ui-form.png")
    fill_what_may_be_empty(form, key)
    form.field("Keep depth").evaluate("element => element.scrollIntoView()")
    keep_picture("ui-form-tracks.png")
    with page.expect_response(re.compile("create_flow_run")) as answer:
        form.submit()
    run_id = answer.value.json()["id"]
    page.goto(f"{service.layout.ui_url}/runs/flow-run/{run_id}")
    badge = page.locator(".page-heading-flow-run .state-badge")
    expect(badge).to_have_text(_ENDED, timeout=_JOB_LIMIT_MS)
    expect(badge).to_have_text("Completed")
    request = service.api.get(f"/flow_runs/{run_id}").json()["parameters"]["request"]
    assert (request["face"], request["metadata"]) == (0, {"shot": "12"})
    assert (request["max_size"], request["keep_depth"], request["video_track"]) == ("320x180", False, "0")
    assert (request["callback_url"], request["idempotency_key"]) == (None, key)
    look_at_artifacts(page, page.url, keep_picture)
    with av.open(str(service.get("ui/out.mp4", tmp_path / "out.mp4"))) as movie:
        assert movie.streams.video[0].frames == 60


def fill_what_may_be_empty(form: Form, idempotency_key: str) -> None:
    form.set_kind("Face", "int")
    form.fill("Face", "0")
    form.set_kind("Largest size", "str")
    form.fill("Largest size", "320x180")
    form.set_kind("Video track", "str")
    form.fill("Video track", "0")
    form.set_kind("Callback URL", "str")  # and back: no receiver listens
    form.fill("Callback URL", "https://example.invalid/hook")
    form.set_kind("Callback URL", "None")
    form.fill("Metadata", '{"shot": "12"}')
    form.set_kind("Idempotency key", "str")
    form.fill("Idempotency key", idempotency_key)


def look_at_artifacts(page: Page, run_address: str, keep_picture: KeepPicture) -> None:
    """An ended run shows its timings, the address of its result and pictures of it."""
    open_artifact(page, run_address, "timing-breakdown")
    stages = page.get_by_role("cell").get_by_role("article")
    expect(stages.filter(has_text="upload")).to_be_visible()
    assert set(stages.all_inner_texts()) >= {"fetch video", "blend", "– decode", "encode", "upload"}
    open_artifact(page, run_address, "output")
    expect(page.get_by_role("link", name="s3://lipsync/ui/out.mp4")).to_be_visible()
    open_artifact(page, run_address, "preview")
    picture = page.get_by_role("img", name="Frames of the result")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [972, 413]
    keep_picture("ui-preview.png")
    open_artifacts(page, run_address)
    keep_picture("ui-run.png")


def open_artifacts(page: Page, run_address: str) -> None:
    page.goto(run_address)
    page.get_by_text("Artifacts", exact=True).click()
    expect(page.locator(".artifact-card__title", has_text="timing-breakdown")).to_be_visible()


def open_artifact(page: Page, run_address: str, key: str) -> None:
    open_artifacts(page, run_address)
    page.locator(".artifact-card__title", has_text=key).click()
    page.wait_for_url("**/artifacts/artifact/*")
