"""`controlplane serve` as a process: its first start, what it says when it can't, and stopping a real gate with it."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from controlplane.runtime import postgres
from controlplane.runtime.settings import Settings
from tests.support.programs import START_SECONDS_MAX, Machine, Program, machine, one_sentence

pytestmark = pytest.mark.xdist_group("processes")
FAST = {"CONTROLPLANE_DURABILITY": "process", "CONTROLPLANE_HTTP_PORT": "0"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a state of its own; its database is stopped with it."""
    with machine(tmp_path / "state", dict(FAST)) as made:
        yield made
    directory = made.state_directory / "postgres"
    if directory.is_dir():
        postgres.Cluster(dsn="", directory=directory, started_here=True).stop()


def start_serve(machine: Machine) -> tuple[Program, str]:
    """A web service that listens, and its address."""
    serve = machine.start("serve", "serve")
    serve.wait_until("Console: ")
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        found = re.search(r"Console: (http://127\.0\.0\.1:\d+)/\n", serve.output())
        if found is not None:
            return serve, found.group(1)
        time.sleep(0.05)
    raise AssertionError(f"expected an address, found: {serve.output()}")


def signed_in(url: str, passwords: dict[str, str], name: str = "operator") -> httpx2.Client:
    client = httpx2.Client(base_url=url, timeout=20)
    answer = client.post("/api/session", json={"name": name, "password": passwords[name]})
    assert answer.status_code == 201, answer.text
    client.headers["x-form-token"] = answer.json()["form_token"]
    return client


def passwords_in(machine: Machine) -> dict[str, str]:
    lines = (machine.state_directory / "first-passwords.txt").read_text().splitlines()
    return dict(line.split() for line in lines if line.count("-") >= 5)


def test_the_first_start_shows_the_passwords_once_and_a_restart_keeps_accounts_and_sessions(running: Machine) -> None:
    serve, url = start_serve(running)
    passwords = passwords_in(running)
    cookies = dict(signed_in(url, passwords).cookies)
    assert (running.state_directory / "first-passwords.txt").stat().st_mode & 0o777 == 0o600
    assert serve.end() == 0
    again, url = start_serve(running)

    answer = httpx2.get(f"{url}/", cookies=cookies, timeout=20)

    assert sorted(passwords) == ["operator", "risk-officer"]
    assert all(serve.output().count(password) == 1 for password in passwords.values())
    assert all(password not in again.output() for password in passwords.values())
    assert answer.status_code == 200
    assert "Traceback" not in serve.output() + again.output()


def test_a_port_in_use_and_a_state_in_use_are_one_sentence_each(running: Machine, tmp_path: Path) -> None:
    _, url = start_serve(running)
    port = url.rpartition(":")[2]
    with machine(tmp_path / "other", FAST | {"CONTROLPLANE_HTTP_PORT": port}) as other:
        same_port = other.run("serve", seconds_max=START_SECONDS_MAX)

    same_state = running.run("serve", seconds_max=START_SECONDS_MAX)

    assert (same_port.returncode, same_state.returncode) == (1, 3)
    assert one_sentence(same_port.stderr), same_port.stderr
    assert f"Port {port} on 127.0.0.1 is in use by another program" in same_port.stderr
    assert one_sentence(same_state.stderr), same_state.stderr
    assert "only writer" in same_state.stderr


@pytest.mark.case("U2")
def test_a_real_gate_is_stopped_with_the_database_down_and_freed_again_by_two_people(running: Machine) -> None:
    directory = Settings(state_directory=running.state_directory).postgres_directory
    running.start_gate()
    _, url = start_serve(running)
    passwords = passwords_in(running)
    operator, officer = signed_in(url, passwords), signed_in(url, passwords, "risk-officer")
    postgres.Cluster(dsn="", directory=directory, started_here=True).stop()

    kill = {"rung": "kill", "scope": "firm"}
    lift = {"scope": "machine", "reason": "a drill"}
    pressed = operator.post("/api/halts", json=kill, headers={"Idempotency-Key": "kill-with-no-database"})
    status = running.control().control("status")
    refused = operator.post("/api/halts/lifts", json=lift, headers={"Idempotency-Key": "lift-with-no-database"})
    page = operator.get("/stop")
    with postgres.start(directory):
        asked = operator.post("/api/halts/lifts", json=lift, headers={"Idempotency-Key": "lift-with-the-database"})
        path = f"/api/halts/lifts/{asked.json()['lift_id']}/confirm"
        alone = operator.post(path, json={"scope": "machine"})
        together = officer.post(path, json={"scope": "machine"})
        after = running.control().control("status")

    assert pressed.status_code == 201, pressed.text
    assert status["state"] == "KILLED"
    assert (refused.status_code, page.status_code) == (503, 200)
    assert "Kill the firm" in page.text
    assert alone.status_code == 403
    assert together.status_code == 200, together.text
    assert after["state"] == "ACTIVE"
