"""A rule book judged before a gate has it, as a risk officer does it at a shell."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.limits.kinds import KINDS
from tests.support.policies import shipped_cases, shipped_files, write_files
from tests.support.programs import Machine, machine, one_sentence


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "state") as made:
        yield made


def proposed(folder: Path, file: str, old: str, new: str) -> Path:
    """Return a folder with the shipped rule book, the first occurrence of a text in one file replaced."""
    files = shipped_files()
    assert old in files[file].decode()
    return write_files(folder, files | {file: files[file].decode().replace(old, new, 1).encode()})


@pytest.mark.case("GATE-125")
def test_shipped_rule_book_is_clean_and_its_proof_is_told(place: Machine) -> None:
    told, as_json = place.run("policy", "lint"), place.run("policy", "lint", "policies", "--json")

    assert (told.returncode, as_json.returncode) == (0, 0), told.stdout + told.stderr
    found = json.loads(as_json.stdout)
    assert found["is_clean"]
    assert f"{found['proof']['routes']} routes of {found['proof']['instruments']} instruments" in told.stdout


def test_shadowed_limit_is_named_and_ends_with_status_one(place: Machine, tmp_path: Path) -> None:
    folder = proposed(tmp_path / "p", "limits/desks.toml", "live_orders_max = 250", "live_orders_max = 501")

    done = place.run("policy", "lint", str(folder))

    assert done.returncode == 1
    assert done.stdout.startswith("shadowed: limits/desks.toml: desks.crypto.live_orders_max of 501 never decides")


@pytest.mark.case("GATE-125")
def test_every_hole_is_named_though_a_gate_would_stop_at_the_first_few(place: Machine, tmp_path: Path) -> None:
    files = shipped_files()
    holes = "\n".join(line for line in files["limits/desks.toml"].decode().splitlines() if not line.startswith('"'))
    folder = write_files(tmp_path / "p", files | {"limits/desks.toml": (holes + "\n").encode()})

    done = place.run("policy", "lint", str(folder), "--json")

    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["proof"] is None
    assert len(found["findings"]) == 6
    assert {one["file"] for one in found["findings"]} == {"limits/desks.toml"}


def test_loosening_ends_with_status_one_and_tightening_with_zero(place: Machine, tmp_path: Path) -> None:
    folder = proposed(tmp_path / "p", "limits/firm.toml", 'daily_loss_max = "400000"', 'daily_loss_max = "300000"')

    tighter = place.run("policy", "diff", "policies", str(folder))
    looser = place.run("policy", "diff", str(folder), "policies", "--json")

    assert (tighter.returncode, looser.returncode) == (0, 1)
    assert "tightening limits/firm.toml: firm.daily_loss_max: 400000 -> 300000 (smaller is tighter)." in tighter.stdout
    assert "as a whole tightening" in tighter.stdout
    assert json.loads(looser.stdout)["effect"] == "loosening"


def test_rule_book_that_does_not_load_is_compared_with_nothing(place: Machine, tmp_path: Path) -> None:
    folder = proposed(tmp_path / "p", "limits/firm.toml", 'daily_loss_max = "400000"', "daily_loss_max = 400000.5")

    done = place.run("policy", "diff", "policies", str(folder))

    assert done.returncode == 1
    assert one_sentence(done.stderr)
    assert "firm.daily_loss_max must be a decimal number in quotes" in done.stderr


def test_shipped_cases_hold_under_the_shipped_rule_book(place: Machine) -> None:
    told, as_json = place.run("policy", "test"), place.run("policy", "test", "policies", "--json")

    assert (told.returncode, as_json.returncode) == (0, 0), told.stdout + told.stderr
    found = json.loads(as_json.stdout)
    assert found["is_clean"]
    assert all(case["holds"] for case in found["cases"])
    count, kinds = len(found["cases"]), len({case["limit"] for case in found["cases"]})
    assert told.stdout == f"{count} cases of {kinds} kinds of limit: {count} hold, 0 fail.\n"


def test_limit_that_was_changed_without_its_case_fails_in_one_sentence(place: Machine, tmp_path: Path) -> None:
    folder = proposed(tmp_path / "p", "limits/strategies.toml", 'order_quantity_max = "10"', 'order_quantity_max = "9"')
    write_files(folder, shipped_cases())

    done = place.run("policy", "test", str(folder))

    assert done.returncode == 1
    assert done.stdout.startswith('cases/perpetual.toml: case "An order of the strategy')
    assert (
        'case "An order of one lot more is denied.": expected the largest passing quantity 10, found 9' in done.stdout
    )


def test_rule_book_without_cases_says_what_every_kind_lacks(place: Machine, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "p", shipped_files())

    done = place.run("policy", "test", str(folder), "--json")

    assert done.returncode == 1
    assert len(json.loads(done.stdout)["missing"]) == 2 * len(KINDS)
