"""Settings: `labrelay.toml` in the home folder, then `LABRELAY_*` in the environment; the environment wins.

Profiles choose adapters. `local` is the embedded default: folders, SQLite, the local engine, no account anywhere.
"""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from labrelay.model.errors import RefusedInput, UsageError
from labrelay.model.problem import Problem
from labrelay.parsers.allotropy import PREFIX
from labrelay.records.catalog.port import Sensitivity

FILE = "labrelay.toml"
DEFAULT_HOME = "labrelay-home"
SECRET_LENGTH = 24
Sandbox = Literal["auto", "bwrap", "host", "docker", "podman", "apptainer", "udocker"]


class Hook(BaseModel):
    """Who may call `/api/hooks/NAME`: how they sign, and with which secrets (two live ones, to change them).

    Benchling signs with keys that it publishes for an app: it has no secret of ours, and `app` says whose keys count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: str = Field("labrelay", description="how the messages are signed")
    secrets: tuple[SecretStr, ...] = Field((), max_length=2)
    app: str | None = Field(None, pattern=r"^appdef_[A-Za-z0-9]{1,60}$", description="benchling: the app's definition")

    @model_validator(mode="after")
    def _either(self) -> Hook:
        if self.scheme == "benchling" and (self.app is None or self.secrets):
            raise ValueError('the scheme benchling needs app = "appdef_…" and no secrets')
        if self.scheme != "benchling" and (self.app is not None or not self.secrets):
            raise ValueError(f"the scheme {self.scheme} needs one or two secrets and no app")
        return self

    @property
    def signers(self) -> list[bytes]:
        """What the scheme verifies by: the secrets, or the app whose keys Benchling publishes."""
        return [self.app.encode()] if self.app else [secret.get_secret_value().encode() for secret in self.secrets]

    @field_validator("secrets")
    @classmethod
    def _long_enough(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < SECRET_LENGTH for secret in secrets):
            raise ValueError(
                f"a signing secret needs {SECRET_LENGTH} characters or more: `openssl rand -hex 32` makes one"
            )
        return secrets


class Settings(BaseSettings):
    """All settings of one home; each field's description is what `labrelay doctor` prints."""

    model_config = SettingsConfigDict(env_prefix="LABRELAY_", extra="forbid", frozen=True)

    profile: Literal["local", "healthomics"] = Field(
        "local", description="which adapters: local = folders and local engine; healthomics = S3 and AWS HealthOmics"
    )
    database_url: str | None = Field(
        None, description="the metadata store, postgresql://… for a team; default: labrelay.sqlite in the home"
    )
    sandbox: Sandbox = Field("auto", description="what holds tasks; auto = bubblewrap when it works here, else host")
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, le=256, description="workflow runs at once"
    )
    nextflow: Path | None = Field(
        None, description="a Nextflow program, or a folder of its jars; default: PATH, then what make nextflow brought"
    )
    multiqc: str = Field(
        "multiqc", description="the MultiQC program, by name on PATH or by path, for `inspect --multiqc`"
    )
    allotropy: str | None = Field(
        None,
        description="the Python of an environment with the library allotropy, which reads exports of bench instruments",
    )
    exports: dict[Path, Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,80}$")]] = Field(
        {},
        description="folders whose runs allotropy reads, each with the vendor as it names it: "
        '`{"/data/softmax" = "MOLDEV_SOFTMAX_PRO"}`',
    )
    landing: tuple[Path, ...] = Field((), description="folders that `watch` scans for finished runs")
    quiet_minutes: float = Field(5, ge=0, description="how long a run folder must rest between two equal observations")
    quiet_hours: float | None = Field(
        None,
        gt=0,
        description="take a folder of an instrument that marks no end once it has rested so long; default: a person "
        "takes it",
    )
    retries: int = Field(1, ge=0, le=5, description="new attempts after a SYSTEM_ERROR, without being asked")
    unknown_minutes: float = Field(
        60, ge=0, description="how long a run may be unknown to its engine before it counts as SYSTEM_ERROR"
    )
    base_url: str | None = Field(
        None, description="where people reach this Labrelay; links in the notebook start with it"
    )
    eln: str = Field(
        "archive",
        description="the notebook that is told: archive = .eln files only; kadi = Kadi4Mat; benchling; elabftw",
    )
    eln_url: str | None = Field(None, description="where the notebook answers, https://…")
    eln_token: SecretStr | None = Field(None, description="the token of our account in the notebook")
    eln_options: dict[str, str] = Field({}, description="what the notebook's adapter needs beside; see docs/eln.md")
    eln_file_mib: float = Field(5, ge=0, le=100, description="files up to this size go into the notebook; 0 = none")
    prefect_api_url: str | None = Field(None, description="a Prefect server to run flows on; default: the one of `up`")
    smtp_url: SecretStr | None = Field(None, description="smtp://user:password@host:port for notifications by mail")
    mail_from: str | None = Field(None, description="sender of notifications")
    mail_to: tuple[str, ...] = Field((), description="receivers of notifications")
    webhook_url: SecretStr | None = Field(None, description="a Slack or Teams incoming webhook for notifications")
    import_minutes: float = Field(
        60, ge=0, description="how long a command waits for import jobs before it leaves them"
    )
    aws_region: str | None = Field(None, description="AWS region; default: as for other AWS programs")
    aws_profile: str | None = Field(None, description="a named profile of AWS credentials")
    aws_endpoint_url: str | None = Field(None, description="where AWS answers; only for the emulator and proxies")
    objects_url: str | None = Field(None, description="s3://bucket/prefix for instrument data (profile healthomics)")
    outputs_url: str | None = Field(None, description="s3://bucket/prefix that HealthOmics runs write to")
    sequence_store_id: str | None = Field(None, description="the HealthOmics sequence store")
    reference_store_id: str | None = Field(None, description="the HealthOmics reference store")
    service_role_arn: str | None = Field(None, description="the role that HealthOmics takes to read and write our data")
    run_group_id: str | None = Field(None, description="the HealthOmics run group, which limits runs and processors")
    run_cache_id: str | None = Field(None, description="the HealthOmics run cache; finished tasks are not run again")
    storage_type: Literal["STATIC", "DYNAMIC"] = Field("DYNAMIC", description="run storage on HealthOmics")
    storage_gib: int | None = Field(None, ge=1, le=100_000, description="run storage in GiB, for STATIC")
    start_run_rate: float = Field(0.1, gt=0, description="StartRun calls a second; AWS raises the quota on request")
    registry_map: Path | None = Field(
        None,
        description="a JSON file, by its path from the home: the container registry map as HealthOmics has it",
    )
    prices: Path | None = Field(
        None, description="a TOML file, by its path from the home: HealthOmics prices in place of ours"
    )
    batch_queue: str | None = Field(None, description="the AWS Batch job queue for runs on Batch, by name or ARN")
    batch_queue_high: str | None = Field(None, description="the queue of runs with the priority high")
    batch_queue_low: str | None = Field(None, description="the queue of runs with the priority low")
    batch_image: str | None = Field(None, description="the container image with Labrelay and the workflows' tools")
    batch_role_arn: str | None = Field(None, description="the role that jobs on Batch take to read and write S3")
    batch_file_system: str | None = Field(
        None, description="an EFS file system for work folders, so that a job whose host was lost goes on"
    )
    batch_cpus: int = Field(2, ge=1, le=192, description="vCPUs of a job on Batch whose workflow names none")
    batch_memory_gib: float = Field(4, gt=0, le=1536, description="GiB of a job on Batch whose workflow names none")
    batch_minutes: int = Field(1440, ge=1, description="after so many minutes a job on Batch is ended")
    batch_host_losses: int = Field(2, ge=0, le=9, description="how often a job on Batch begins again on another host")
    event_queue_url: str | None = Field(
        None, description="an SQS queue that EventBridge feeds with events of HealthOmics and Batch"
    )
    hooks: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], Hook] = Field(
        {}, description="who may send signed webhooks to the front door, by name ([front-door.md](front-door.md))"
    )
    datazone_domain_id: str | None = Field(
        None, pattern=r"^dzd[-_][a-zA-Z0-9_-]{1,36}$", description="the Amazon DataZone domain to publish results in"
    )
    datazone_project_id: str | None = Field(None, description="the DataZone project that owns what is published")
    sensitivity: Sensitivity = Field("confidential", description="how sensitive published results are")
    project_sensitivity: dict[str, Sensitivity] = Field(
        {}, description="how sensitive results of a project are, by the project's name, in place of `sensitivity`"
    )
    openlineage_url: str | None = Field(
        None, description="where run events of OpenLineage are posted, such as http://marquez:5000/api/v1/lineage"
    )
    openlineage_key: SecretStr | None = Field(None, description="goes along with them as bearer token")
    openlineage_file: Path | None = Field(
        None, description="a file, by its path from the home, that run events are appended to as JSON Lines"
    )
    openlineage_namespace: str = Field(
        "labrelay", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="what this home is called in run events"
    )
    keep_work_days: float = Field(14, ge=0, description="how long work folders and caches of ended runs are kept")

    @field_validator("database_url")
    @classmethod
    def _of_a_kind_that_works(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError(
                "it has to be postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE; "
                "leave it out for labrelay.sqlite in the home"
            )
        return url

    @field_validator("eln_token")
    @classmethod
    def _that_http_carries(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None:
            return None
        plain = token.get_secret_value().strip()  # a file or a copy often ends with a line break
        if not re.fullmatch(r"[!-~]+", plain):
            raise ValueError("a token has only ASCII letters, digits and signs, and no blanks: copy it anew")
        return SecretStr(plain)

    def platform_of(self, folder: Path) -> str | None:
        """Return as which platform a run's folder is to be read, where a setting says it."""
        given = folder.resolve()
        above = [root for root in self.exports if given.is_relative_to(root.resolve())]
        root = max(above, key=lambda each: len(each.resolve().parts), default=None)
        return None if root is None else f"{PREFIX}{self.exports[root]}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file (whose values come in as init arguments)."""
        del settings_cls, dotenv_settings, file_secret_settings  # neither dotenv nor secret files are read
        return env_settings, init_settings


def find_home(given: str | Path | None = None) -> Path:
    """Return the home folder: as given, else LABRELAY_HOME, else ./labrelay-home."""
    return Path(given or os.environ.get("LABRELAY_HOME") or DEFAULT_HOME).expanduser().resolve()


def settings_here(home: str | Path | None = None) -> Settings:
    """Return the settings of a home, and where there is none those that the environment gives."""
    folder = find_home(home)
    return load_settings(folder) if (folder / FILE).is_file() else Settings()


def load_settings(home: Path) -> Settings:
    """Read the settings of a home.

    Raises:
        UsageError: There is no such home.
        RefusedInput: The file is no TOML, or names or values in it (or in the environment) are wrong.
    """
    file = home / FILE
    if not file.is_file():
        raise UsageError(f"there is no Labrelay home at {home}: make one with `labrelay --home {home} init`")
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefusedInput(f"the settings {file}", [Problem(code="NOT_TOML", message=str(error), path=FILE)]) from None
    try:
        return Settings(**values)
    except ValidationError as error:
        raise RefusedInput(f"the settings {file}", [_problem(e) for e in error.errors()]) from None


def _problem(error: Any) -> Problem:
    name = ".".join(str(part) for part in error["loc"])
    message = f"{name}: {error['msg']}"
    if error["type"] == "extra_forbidden":
        near = get_close_matches(name, list(Settings.model_fields), n=1)
        message = f"{name}: there is no such setting" + (f"; is {near[0]} meant?" if near else "")
    return Problem(code="BAD_SETTING", message=message, path=FILE)


TEMPLATE = """\
# Labrelay settings; each can also be given as LABRELAY_<NAME> in the environment, which wins.
# `labrelay doctor` prints all of them with what they mean.

# sandbox = "auto"          # auto | bwrap | host | docker | podman | apptainer | udocker
# concurrency = 2           # workflow runs at once
# landing = ["/data/runs"]  # folders that `labrelay watch` scans
# quiet_minutes = 5         # how long a run folder must rest before it is taken
# quiet_hours = 24          # how long one must rest that an instrument without a completion marker has written
# webhook_url = "https://…" # Slack or Teams incoming webhook for notifications
"""
