"""Commands as people type them: lifting with two passwords, judging the record, the state of the gate, the bench."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.domain.clock import SystemClock
from controlplane.identity.passwords import Passwords
from controlplane.identity.service import FirstAccount, Identity
from controlplane.runtime import postgres
from controlplane.runtime.database import Database
from tests.support.gate_process import running_gate
from tests.support.policies import small_files, write_files
from tests.support.programs import REPOSITORY, Machine, machine, one_sentence

pytestmark = pytest.mark.xdist_group("gate-process")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Machine]:
    policies = write_files(tmp_path / "policies", small_files())
    with machine(tmp_path / "state", {"CONTROLPLANE_POLICY_DIRECTORY": str(policies)}) as made:
        yield made


@pytest.fixture
def accounts(place: Machine) -> Iterator[dict[str, str]]:
    """The names and passwords of the two first accounts, in a database of this machine."""
    made: list[FirstAccount] = []
    with (
        postgres.start(place.state_directory / "postgres", is_volatile=True) as cluster,
        Database(cluster.dsn) as database,
    ):
        database.migrate()
        identity = Identity(
            database,
            record=lambda _facts: None,
            clock=SystemClock(),
            passwords=Passwords(time_cost=1, memory_kib=8_192),
        )
        identity.make_first_accounts(made.extend)
        yield {account.person.name: account.password for account in made}


def lift(place: Machine, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "controlplane.cli", "lift", "--reason", "cause found", "--passwords-stdin", *options],
        input=typed,
        capture_output=True,
        text=True,
        env=place.settings(),
        cwd=REPOSITORY,
        timeout=90,
        check=False,
    )


def state_of(place: Machine) -> str:
    return str(place.control().control("status")["state"])


@pytest.mark.case("GATE-91")
@pytest.mark.case("EVIDENCE-62")
def test_kill_is_lifted_by_two_people_with_their_passwords_and_by_nobody_else(
    place: Machine, accounts: dict[str, str]
) -> None:
    place.start_gate()
    assert place.run("kill", "--reason", "drill", "--wait", "0").returncode == 0
    (first, first_password), (second, second_password) = accounts.items()

    alone = lift(place, "--by", first, "--second", first, typed=f"{first_password}\n{first_password}\n")
    by_one = lift(place, "--by", first, typed=f"{first_password}\n")
    wrong = lift(place, "--by", first, "--second", second, typed=f"{first_password}\nnot it\n")
    assert state_of(place) == "KILLED"
    both = lift(place, "--by", first, "--second", second, typed=f"{first_password}\n{second_password}\n")

    assert [done.returncode for done in (alone, by_one, wrong)] == [1, 1, 1]
    assert all(one_sentence(done.stderr) for done in (alone, by_one, wrong))
    assert both.returncode == 0, both.stderr
    assert f"{first} and {second}" in both.stdout
    assert state_of(place) == "ACTIVE"


def test_lift_without_a_gate_says_what_to_start(place: Machine) -> None:
    done = lift(place, "--by", "operator", "--second", "risk-officer", typed="a\nb\n")

    assert done.returncode == 3
    assert one_sentence(done.stderr)
    assert "controlplane gate" in done.stderr


def test_state_of_the_gate_is_told_in_sentences_and_as_json(place: Machine) -> None:
    with running_gate(place.state_directory):
        told, document = place.run("status"), place.run("status", "--json")

    assert (told.returncode, document.returncode) == (0, 0)
    assert "ACTIVE" in told.stdout
    assert json.loads(document.stdout)["state"] == "ACTIVE"


@pytest.mark.case("EVIDENCE-6")
def test_record_is_judged_without_a_database_and_damage_is_named(place: Machine) -> None:
    with running_gate(place.state_directory):
        pass
    sound = place.run("verify", str(place.state_directory), "--json")
    segment = min(place.gate_journal.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[4096 + 100] ^= 1
    segment.write_bytes(content)

    damaged, words = place.run("verify", "--json"), place.run("verify", str(place.gate_journal))

    assert (sound.returncode, json.loads(sound.stdout)["is_sound"]) == (0, True)
    assert (damaged.returncode, json.loads(damaged.stdout)["is_sound"]) == (1, False)
    assert words.returncode == 1
    assert "NOT SOUND" in words.stdout


def test_directory_without_a_record_is_refused_in_one_sentence(place: Machine) -> None:
    done = place.run("verify", str(place.state_directory))

    assert done.returncode == 1
    assert one_sentence(done.stderr)


def test_bench_of_the_gate_states_every_shape_the_ratio_and_the_sizes(place: Machine) -> None:
    del place.environment["CONTROLPLANE_POLICY_DIRECTORY"]

    done = place.run("bench", "gate", "--orders", "1000", "--json", seconds_max=300)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["timings"]) == {
        "embedded, journal",
        "embedded, batches of 64",
        "embedded, report",
        "plain Python",
        "process, process",
        "process, disk",
        "fdatasync of the disk alone",
    }
    assert all(0 < row["p50_ns"] <= row["p99_ns"] for row in found["timings"].values())
    assert found["ratio_p50"] > 8
    assert found["sizes"]["state_bytes"] > 0


@pytest.mark.parametrize("command", ["explode", "gate --gate-id 999", "verify --loud", "lift --by a"])
def test_command_that_does_not_exist_or_lacks_something_ends_with_usage_and_no_traceback(
    place: Machine, command: str
) -> None:
    done = place.run(*command.split())

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_misspelt_setting_is_refused_before_anything_starts(place: Machine) -> None:
    place.environment["CONTROLPLANE_DURABILTY"] = "disk"

    done = place.run("gate")

    assert done.returncode == 1
    assert one_sentence(done.stderr)
    assert "CONTROLPLANE_DURABILITY" in done.stderr
    assert not place.gate_journal.exists()
