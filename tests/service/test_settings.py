from datetime import timedelta
from pathlib import Path

import pytest

MISSING = "the extra service is not installed"
pydantic = pytest.importorskip("pydantic", reason=MISSING)
pytest.importorskip("pydantic_settings", reason=MISSING)

from lipsync_core.errors import OptionError  # noqa: E402
from lipsync_core.execution import Execution  # noqa: E402
from lipsync_service.settings import Settings, load_settings, variable_of  # noqa: E402


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)


def test_the_environment_is_read_with_lists_sizes_and_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_FILE_ROOTS", "/media/in, /media/out")
    monkeypatch.setenv("LIPSYNC_HTTP_ALLOWED_HOSTS", '["minio.internal:9000"]')
    monkeypatch.setenv("LIPSYNC_MAX_INPUT_BYTES", "3MiB")
    monkeypatch.setenv("LIPSYNC_STORAGE_URL", "s3://lipsync/jobs/")
    settings = Settings()
    assert settings.file_roots == (Path("/media/in"), Path("/media/out"))
    assert settings.http_allowed_hosts == ("minio.internal:9000",)
    assert settings.max_input_bytes == 3 << 20
    assert settings.storage_url == "s3://lipsync/jobs"


def test_by_default_nothing_private_can_be_reached() -> None:
    settings = Settings()
    assert settings.file_roots == () and settings.http_allowed_hosts == ()
    assert settings.gpu_pool is None


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", "")
    monkeypatch.setenv("LIPSYNC_GPU_POOL", "")
    assert Settings().s3_endpoint is None and Settings().gpu_pool is None


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("S3_SECRET_KEY", "S3_ACCESS_KEY", "CALLBACK_SECRET", "DATABASE_URL")
    for name in names:
        monkeypatch.setenv(f"LIPSYNC_{name}", f"hidden-{name}")
    settings = Settings()
    assert settings.database_url.get_secret_value() == "hidden-DATABASE_URL"
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hidden" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORAGE_URL", "https://example.com/storage"),
        ("STORAGE_URL", "file://relative/folder"),
        ("FILE_ROOTS", "relative/folder"),
        ("MAX_INPUT_BYTES", "0"),
        ("MAX_DURATION_S", "-1"),
        ("CACHE_CAP_BYTES", "much"),
        ("CACHE_CAP_BYTES", "4Gbit"),
        ("KEEP_BYTES", "4G"),
        ("HTTP_ALLOWED_HOSTS", '["host", 1'),
        ("MODEL_SERVER", "host:8001"),
        ("API_URL", "host:4200/api"),
        ("API_URL", "http://"),
        ("API_URL", "http://host:99999/api"),
        ("API_URL", "http://[::1/api"),
        ("API_URL", "http://ho st/api"),
    ],
)
def test_settings_fail_when_a_value_cannot_be_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LIPSYNC_{name}", value)
    with pytest.raises(pydantic.ValidationError):
        Settings()


def test_settings_fail_when_somebody_changes_them() -> None:
    with pytest.raises(pydantic.ValidationError):
        Settings().max_duration_s = 1.0  # type: ignore[misc]


def test_precision_fails_when_the_providers_do_not_have_it() -> None:
    assert Settings(providers="tensorrt", precision="fp16").execution == Execution("tensorrt", "fp16")
    with pytest.raises(pydantic.ValidationError, match="precision fp16 does not go with providers auto"):
        Settings(precision="fp16")
    with pytest.raises(pydantic.ValidationError, match="'auto', 'cpu', 'cuda' or 'tensorrt'"):
        Settings.model_validate({"providers": "vulkan"})


def test_the_precision_of_a_model_server_needs_no_provider_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_MODEL_SERVER", "grpc://gpu-node:8001")
    monkeypatch.setenv("LIPSYNC_PRECISION", "fp16")
    assert Settings().execution == Execution(
        "auto", "fp16", model_server="grpc://gpu-node:8001", model_server_wait_s=600.0
    )
    monkeypatch.setenv("LIPSYNC_MODEL_SERVER", "")
    monkeypatch.setenv("LIPSYNC_PRECISION", "")
    assert Settings().execution == Execution()


def test_a_worker_in_a_container_is_told_by_the_variables_of_its_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().worker_limit, Settings().worker_drain_s) == (None, 1740)
    monkeypatch.setenv("WORKER_LIMIT", "2")
    monkeypatch.setenv("WORKER_DRAIN_S", "60")
    assert (Settings().worker_limit, Settings().worker_drain_s) == (2, 60)
    monkeypatch.setenv("WORKER_LIMIT", "")
    assert Settings().worker_limit is None


@pytest.mark.parametrize(("value", "seen"), [(None, "0"), ("", ""), ("1,0", "1,0")])
def test_the_gpus_are_those_that_cuda_sees(value: str | None, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert Settings().visible_gpus == seen


def test_an_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_LIMIT", "many")
    monkeypatch.setenv("LIPSYNC_MAX_DURATION_S", "-1")
    with pytest.raises(pydantic.ValidationError) as caught:
        Settings()
    named = {variable_of(str(fault["loc"][0])) for fault in caught.value.errors()}
    assert named == {"WORKER_LIMIT", "LIPSYNC_MAX_DURATION_S"}


def test_a_value_that_cannot_be_used_is_named_without_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "CUDA")
    with pytest.raises(OptionError, match=r"^LIPSYNC_PROVIDERS cannot be used: ") as caught:
        load_settings()
    assert "CUDA" not in str(caught.value)


def test_a_refusal_of_our_own_is_said_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_API_URL", "host:4200")
    with pytest.raises(
        OptionError, match=r"^LIPSYNC_API_URL cannot be used: it is not of the form http://HOST:PORT/api"
    ):
        load_settings()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_settings_fail_in_one_line_when_their_file_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "service.env"
    if content is None:
        path = Path("/proc/self/mem")  # it is there, and reading it fails for everybody
    else:
        path.write_bytes(content)
    with pytest.raises(OptionError, match=f"^{path} cannot be read as lines NAME=VALUE; name a file such as"):
        load_settings(path)


def test_an_empty_provider_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "")
    monkeypatch.setenv("LIPSYNC_PRECISION", "")
    assert load_settings().execution == Execution()


def test_the_ages_of_what_is_kept_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_KEEP_EDITS_DAYS", "0.5")
    monkeypatch.setenv("LIPSYNC_KEEP_RESULTS_DAYS", "")
    monkeypatch.setenv("LIPSYNC_KEEP_LEDGER_DAYS", "400")
    kept = load_settings()
    assert kept.kept_for("edits") == timedelta(hours=12)
    assert kept.kept_for("results") is None
    assert kept.keep_ledger_days == 400
    assert kept.in_use > timedelta(days=1)  # a job may take a day


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_an_age_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_KEEP_TRACKS_DAYS", value)
    with pytest.raises(OptionError, match="LIPSYNC_KEEP_TRACKS_DAYS"):
        load_settings()
