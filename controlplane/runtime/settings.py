"""Typed settings of every program, read once from environment variables that begin with CONTROLPLANE_."""

import difflib
import os
from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from controlplane.domain.errors import InvalidRequest
from controlplane.runtime.directories import default_state_directory
from controlplane.runtime.sockets import socket_directory

PREFIX = "CONTROLPLANE_"
SHIPPED_POLICIES = Path(__file__).resolve().parents[2] / "policies"


class Environment(StrEnum):
    """What an order can reach: nothing but our own simulated venues, or real ones."""

    SIMULATION = "SIMULATION"
    LIVE = "LIVE"


class Durability(StrEnum):
    """What a journal record has survived before its permit is released: the end of the process, or of the machine."""

    PROCESS = "process"
    DISK = "disk"


class LogLevel(StrEnum):
    """The least severe event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How an event is written: for eyes, or one JSON object a line."""

    CONSOLE = "console"
    JSON = "json"


class Settings(BaseSettings):
    """Every setting with its default; made by `load_settings`, never changed afterwards."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True)

    state_directory: Path = Field(
        default_factory=default_state_directory,
        description="Folder for the journal, the database files and the local sockets of this machine.",
    )
    policy_directory: Path = Field(
        default=SHIPPED_POLICIES,
        description="Folder of the policy files (TOML) that limits and instruments are read from.",
    )
    dsn: SecretStr | None = Field(
        default=None,
        description="PostgreSQL connection string; when set, that server is used and none is started.",
    )
    http_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that the web service listens on; loopback by default."
    )
    http_port: int = Field(
        default=8700, ge=0, le=65535, description="Port that the web service listens on; 0 takes any free one."
    )
    http_body_bytes_max: int = Field(
        default=1_048_576, ge=1024, description="Largest request body in bytes; a larger one is answered with 413."
    )
    environment: Environment = Field(
        default=Environment.SIMULATION,
        description="SIMULATION or LIVE; shown on every page, and LIVE venues refuse permits of a SIMULATION gate.",
    )
    durability: Durability = Field(
        default=Durability.DISK,
        description="process or disk: what a journal record has survived before its permit is released.",
    )
    gate_supervised: bool = Field(
        default=True,
        description="Whether the gate stops when service, market data, clock or journal give no sign of life.",
    )
    log_origin: str = Field(
        default="",
        max_length=200,
        description="Name that this machine's logs are signed under, such as example.com/desk; from its key if unset.",
    )
    witness_address: str = Field(
        default="",
        description="Where the witness of this machine's checkpoints listens, http://host:port; none if unset.",
    )
    witness_key: str = Field(default="", description="Public key of that witness, as it prints it at its start.")
    log_level: LogLevel = Field(
        default=LogLevel.INFO, description="Least severe event written: debug, info, warning or error."
    )
    log_format: LogFormat = Field(
        default=LogFormat.CONSOLE, description="console for eyes, json for one JSON object a line."
    )

    @property
    def gate_socket(self) -> Path:
        """Address of the gate process on this machine, shorter than 100 bytes."""
        return socket_directory(self.state_directory) / "gate.sock"

    @property
    def journal_directory(self) -> Path:
        """Where the segments of this machine's journal are."""
        return self.state_directory / "journal"

    @property
    def postgres_directory(self) -> Path:
        """Where the database server that we start ourselves keeps everything."""
        return self.state_directory / "postgres"


def load_settings() -> Settings:
    """The settings of this process, from its environment.

    Errors
        InvalidRequest for a value out of range or a variable with our prefix that names no setting; a misspelt safety
        setting must not silently leave the default in force
    """
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name[len(PREFIX) :].lower() not in Settings.model_fields:
            raise InvalidRequest(_unknown_setting(name), field=name)
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise InvalidRequest(
            f"Expected {name} to be valid, found {str(first['input'])[:80]!r}: {first['msg']}; correct the variable or "
            "unset it to get the default.",
            field=name,
        ) from None
    absolute = {
        "state_directory": settings.state_directory.expanduser().absolute(),
        "policy_directory": settings.policy_directory.expanduser().absolute(),
    }
    return settings.model_copy(update=absolute)


def _unknown_setting(name: str) -> str:
    known = [PREFIX + field.upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
    return f"The environment variable {name} names no setting; {hint}"
