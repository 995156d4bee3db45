"""The service's settings, read from its environment variables. `tests/test_environment.py` lists the other readers."""

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import platformdirs
from pydantic import ByteSize, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

from lipsync_core.errors import OptionError
from lipsync_core.execution import Decoding, Execution, Precision, Providers
from lipsync_core.limits import require_known
from lipsync_core.server_address import host_and_port
from lipsync_service.keeping import Keeping
from lipsync_service.limit_settings import LimitSettings
from lipsync_service.provenance_settings import ProvenanceSettings
from lipsync_service.quality_settings import QualitySettings
from lipsync_service.sizes import Size
from lipsync_service.tenants import TenantName, TenantReach

_GIB = 1 << 30
_Names = Annotated[tuple[str, ...], NoDecode]
_Paths = Annotated[tuple[Path, ...], NoDecode]
_Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode]


def _data_folder() -> Path:
    return platformdirs.user_data_path("lipsync", appauthor=False)


class Settings(LimitSettings, Keeping, ProvenanceSettings, QualitySettings):
    """One frozen object; `Settings()` reads the variables LIPSYNC_STORAGE_URL, LIPSYNC_S3_ENDPOINT and so on.

    `variable_of` names the variable of each field.

    A list is written with commas (or as JSON), a size in bytes or as `4GiB`. Secrets and the database's address (which
    may hold a password) do not show in `repr`; `get_secret_value()` gives them.
    """

    model_config = SettingsConfigDict(env_prefix="LIPSYNC_", frozen=True, extra="ignore", populate_by_name=True)

    storage_url: str = Field(
        default_factory=lambda: (_data_folder() / "storage").as_uri(),
        description="The storage of intermediate results and uploaded inputs: s3://BUCKET/PREFIX or file:///FOLDER. "
        "All hosts of a service share it.",
    )
    s3_endpoint: str | None = Field(None, description="Address of an S3 server that is not Amazon's.")
    s3_region: str = Field("us-east-1", description="The region in the signature of S3 requests.")
    s3_access_key: SecretStr | None = Field(None, description="Unset: boto3 finds the credentials in its usual way.")
    s3_secret_key: SecretStr | None = None
    s3_buckets: _Names = Field(
        (), description="What jobs may name in S3: BUCKET or BUCKET/PREFIX; empty: all that the key opens."
    )
    http_allowed_hosts: _Names = Field(
        (), description="Hosts (NAME or NAME:PORT; .NAME for all below it) that may have addresses that are not public."
    )
    http_ports: _Ports = Field(
        (80, 443), description="The ports of all other hosts; those that are allowed by name may have any."
    )
    tenants: Annotated[dict[TenantName, TenantReach], NoDecode] = Field(
        default_factory=dict,
        description='The tenants, as JSON: {"NAME": {"read": ["s3://BUCKET/PREFIX"], "write": [...]}}. Where there are '
        "any, each request names one, and reaches no more of S3 and of folders.",
    )
    file_roots: _Paths = Field((), description="Folders whose files jobs may name with file://. Empty: none.")
    download_connections: int = Field(4, ge=1, le=32, description="Connections to one server for one file.")

    source: Path | None = Field(
        None, description="The folder of prefect.yaml, flows and tasks, which workers import the flows from."
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("lipsync", appauthor=False) / "inputs",
        description="This host's copies of inputs and intermediate results.",
    )
    cache_cap_bytes: Size = Field(ByteSize(20 * _GIB), gt=0, description="The greatest total size of these copies.")

    database_url: SecretStr = Field(
        default_factory=lambda: SecretStr(f"sqlite:///{_data_folder() / 'ledger.sqlite'}"),
        description="The URL of the ledger's database, in SQLAlchemy's form.",
    )
    spool_dir: Path = Field(
        default_factory=lambda: _data_folder() / "spool",
        description="Folder of the ledger rows that wait for the database.",
    )

    api_url: str = Field("http://127.0.0.1:4200/api", description="Prefect's API.")
    api_auth: SecretStr | None = Field(None, description="NAME:PASSWORD, if Prefect's server asks for it.")
    model_server: str | None = Field(
        None,
        description="The model server, grpc://HOST:PORT, that runs the networks in this precision, whatever the "
        "provider. Unset: they run in each process.",
    )
    model_server_wait_s: float = Field(
        600.0,
        gt=0,
        description="How long a job sends a request again to a model server that is down or has a full queue, before "
        "it fails.",
    )
    providers: Providers = Field(
        "auto",
        description="The provider of the networks on this host: auto, cpu, cuda or tensorrt. auto takes cuda if a "
        "trial network runs correctly on it, and the CPU otherwise.",
    )
    precision: Precision = Field("fp32", description="The precision of the networks: fp32, or fp16 with tensorrt.")
    decoder: Decoding = Field("cpu", description="What decodes videos here: cpu, or auto: NVDEC where it works.")
    gpu_pool: str | None = Field(None, description="The work pool of `lipsync-gpu`; without it the child runs inline.")
    segment_s: float = Field(
        60.0,
        ge=0,
        description="A longer result is rendered in segments of so many seconds, by as many runs at once as the pool "
        "has room for. 0: never.",
    )
    gpu_wait_s: float = Field(7200.0, gt=0, description="The longest wait of a job for a worker of the GPU pool.")
    preview: bool = Field(
        True, description="Show frames of results, and of inputs with warnings, in the UI, to all its users."
    )
    callback_secret: SecretStr | None = Field(None, description="Signs the callbacks (HMAC-SHA256).")
    metrics_host: str = Field("127.0.0.1", description="The address on which the watcher serves its metrics.")
    metrics_port: int = Field(4205, ge=1, le=65_535)

    isolate: bool = Field(
        True, description="Read inputs in processes that can reach nothing else, within limits of memory and time."
    )
    cores: int | None = Field(
        None,
        ge=1,
        description="The cores that the jobs of this host may use; unset: all that its affinity and its container's "
        "quota allow. How many runs a worker takes, and the threads of each, follow from it.",
    )
    worker_limit: int | None = Field(
        None,
        ge=1,
        validation_alias="WORKER_LIMIT",
        description="The most runs of a worker at a time; unset: as many as cores and memory allow.",
    )
    worker_drain_s: float = Field(
        1740.0,  # a minute less than Compose and Kubernetes wait before they kill (30 min)
        ge=0,
        validation_alias="WORKER_DRAIN_S",
        description="How long a worker that is told to stop lets its runs go on.",
    )
    visible_gpus: str = Field(
        "0",
        validation_alias="CUDA_VISIBLE_DEVICES",
        description="The GPUs of this process; the first is measured.",
    )

    @field_validator("segment_s")
    @classmethod
    def _is_no_fraction(cls, segment_s: float) -> float:
        if 0 < segment_s < 1:
            raise ValueError("segments of less than a second are too short")
        return segment_s

    @field_validator("tenants", mode="before")
    @classmethod
    def _are_json(cls, value: object) -> object:
        return json.loads(value or "{}") if isinstance(value, str) else value

    @field_validator("s3_buckets", "http_allowed_hosts", "http_ports", "file_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator(
        "s3_endpoint",
        "s3_access_key",
        "s3_secret_key",
        "api_auth",
        "gpu_pool",
        "model_server",
        "callback_secret",
        "source",
        "cores",
        "worker_limit",
        "keep_results_days",
        "keep_ledger_days",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("providers", "precision", "decoder", mode="before")
    @classmethod
    def _empty_is_the_default(cls, value: object, info: ValidationInfo) -> object:
        return cls.model_fields[info.field_name or ""].default if value == "" else value

    @field_validator("storage_url")
    @classmethod
    def _has_known_scheme(cls, value: str) -> str:
        if not value.startswith(("s3://", "file:///")):
            raise ValueError("it is neither s3://BUCKET/PREFIX nor file:///FOLDER")
        return value.rstrip("/")

    @field_validator("api_url")
    @classmethod
    def _is_a_web_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # of a port, or of brackets
            is_one = False
        if not is_one or any(char.isspace() for char in value):
            raise ValueError("it is not of the form http://HOST:PORT/api")
        return value

    @field_validator("file_roots")
    @classmethod
    def _are_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for path in value:
            if not path.is_absolute():
                raise ValueError(f"{path} is not an absolute path")
        return value

    @field_validator("model_server")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                host_and_port(value)
            except OptionError as exc:
                raise ValueError(str(exc)) from exc
        return value

    @field_validator("precision")
    @classmethod
    def _fits_the_providers(cls, value: Precision, info: ValidationInfo) -> Precision:
        if {"providers", "model_server"} <= info.data.keys():  # one is absent if pydantic has refused it
            try:
                Execution(info.data["providers"], value, model_server=info.data["model_server"])
            except OptionError as exc:
                raise ValueError(str(exc)) from exc
        return value

    @property
    def execution(self) -> Execution:
        """The providers and the precision of the networks on this host, its decoder, and its model server."""
        wait_s = self.model_server_wait_s if self.model_server else None
        return Execution(self.providers, self.precision, self.decoder, self.model_server, wait_s)


def variable_of(field: str) -> str:
    """The environment variable of a field of `Settings`; pydantic's errors name a field or the variable itself."""
    known = Settings.model_fields.get(field)
    if known is None:
        return field
    alias = known.validation_alias
    return alias if isinstance(alias, str) else f"LIPSYNC_{field}".upper()


def load_settings(file: Path | None = None) -> Settings:
    """The settings of the environment; `file` gives variables that it lacks, as lines NAME=VALUE.

    Raises:
        OptionError: a variable has a value that cannot be used, or the file cannot be read. The message names the
            variable, without its value. Or a variable has the name of a limit that there is not.
    """
    try:
        settings = Settings(_env_file=file)
        require_known([*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings, env_file=file).env_vars])
        return settings
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]  # values may be secrets
        variable = variable_of(str(first["loc"][0])) if first["loc"] else "a variable LIPSYNC_*"
        fault = first["msg"].removeprefix("Value error, ")
        raise OptionError(f"{variable} cannot be used: {fault}", "change it or unset it") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise OptionError(f"{file} cannot be read as lines NAME=VALUE", "name a file such as service.env") from exc


def require_source(settings: Settings) -> Path:
    """The folder of the deployed flows.

    Raises:
        OptionError: LIPSYNC_SOURCE is not set, or the folder holds no flows.
    """
    if settings.source is None or not (settings.source / "prefect.yaml").is_file():
        found = "is not set" if settings.source is None else f"names a folder without prefect.yaml: {settings.source}"
        raise OptionError(f"LIPSYNC_SOURCE {found}", "name the folder of prefect.yaml, flows and tasks")
    return settings.source
