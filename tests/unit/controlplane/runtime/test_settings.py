"""Settings: their defaults, their ranges, and the refusal of a misspelt one."""

from pathlib import Path

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.runtime.settings import Durability, Environment, Settings, load_settings


def test_defaults_are_the_safe_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    settings = load_settings()

    assert settings.environment is Environment.SIMULATION
    assert settings.durability is Durability.DISK
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8700)
    assert settings.dsn is None
    assert settings.state_directory == tmp_path / ".local" / "state" / "controlplane"


def test_state_goes_where_the_convention_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert load_settings().state_directory == tmp_path / "controlplane"


def test_relative_state_home_is_ignored_as_the_convention_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert load_settings().state_directory == tmp_path / ".local" / "state" / "controlplane"


def test_relative_directory_is_taken_from_where_the_program_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTROLPLANE_STATE_DIRECTORY", "var/run")

    assert load_settings().journal_directory == tmp_path / "var" / "run" / "journal"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONTROLPLANE_HTTP_PORT", "65536"),
        ("CONTROLPLANE_HTTP_PORT", "-1"),
        ("CONTROLPLANE_HTTP_PORT", "eighty"),
        ("CONTROLPLANE_HTTP_HOST", ""),
        ("CONTROLPLANE_HTTP_BODY_BYTES_MAX", "1023"),
        ("CONTROLPLANE_DURABILITY", "disc"),
        ("CONTROLPLANE_ENVIRONMENT", "live"),
        ("CONTROLPLANE_LOG_LEVEL", "loud"),
        ("CONTROLPLANE_LOG_FORMAT", "xml"),
    ],
)
def test_value_out_of_range_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidRequest, match=f"Expected {name} to be valid, found '{value}'") as caught:
        load_settings()

    assert caught.value.field == name
    assert "\n" not in str(caught.value)


def test_misspelt_setting_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_DURABLITY", "process")

    with pytest.raises(
        InvalidRequest, match=r"CONTROLPLANE_DURABLITY names no setting; did you mean CONTROLPLANE_DURA"
    ):
        load_settings()


def test_connection_string_is_not_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTROLPLANE_DSN", "postgresql://somebody:opensesame@db/controlplane")

    settings = load_settings()

    assert "opensesame" not in repr(settings)
    assert settings.dsn is not None
    assert settings.dsn.get_secret_value().endswith("@db/controlplane")


def test_settings_cannot_change_afterwards() -> None:
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.environment = Environment.LIVE  # type: ignore[misc]


@pytest.mark.parametrize("depth", [0, 3, 12])
def test_gate_address_fits_a_socket_however_deep_the_state_lies(tmp_path: Path, depth: int) -> None:
    settings = Settings(state_directory=tmp_path.joinpath(*["a_folder"] * depth))

    assert len(str(settings.gate_socket).encode()) < 100
    assert settings.gate_socket == Settings(state_directory=settings.state_directory).gate_socket


def test_two_deep_state_directories_get_two_gate_addresses(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a_folder"] * 12)

    assert Settings(state_directory=deep / "a").gate_socket != Settings(state_directory=deep / "b").gate_socket
