"""Files of cases are as strict as the policies beside them: every fault is a sentence with file and key."""

from pathlib import Path

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.policy.load import load_cases, load_policies
from tests.support.policies import SHIPPED, shipped_cases, shipped_files, write_files

FILE = "cases/perpetual.toml"


def with_case_text(folder: Path, old: str, new: str) -> Path:
    """Return a folder with the shipped cases, the first occurrence of a text replaced; it must be there."""
    text = shipped_cases()[FILE].decode()
    assert old in text, f"{FILE} holds no {old!r}"
    return write_files(folder, {FILE: text.replace(old, new, 1).encode()})


def test_shipped_cases_are_read_by_file() -> None:
    assert set(load_cases(SHIPPED)) == set(shipped_cases())


def test_rule_book_is_the_same_with_cases_and_without(tmp_path: Path) -> None:
    alone = write_files(tmp_path / "alone", shipped_files())
    beside = write_files(tmp_path / "beside", shipped_files() | shipped_cases())

    assert load_policies(alone).digest == load_policies(beside).digest
    assert load_cases(alone) == {}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('expect = "deny"', 'expect = "maybe"', "cases.1.expect must be one of 'allow' or 'deny', found 'maybe'"),
        ('expect = "deny"', 'expects = "deny"', "cases.1.expects is no known key; did you mean expect?"),
        ('largest_passing = "9.999"\n', "", "cases.1 must be a denial with codes, scope and largest_passing"),
        ('expect = "allow"', 'expect = "allow"\ncodes = ["PRICE_OFF_TICK"]', "must be an allowed order without codes"),
        ('codes = ["ORDER_NOTIONAL_ABOVE_LIMIT"]', 'codes = ["TOO_MUCH"]', "cases.1.codes.0 must be text of the form"),
        ('quantity = "10"', "quantity = 10.0", "cases.0.order.quantity must be a decimal number in quotes"),
        ('quantity = "10"', 'quantity = "-10"', "cases.0.order.quantity must be a number above zero"),
        ('{ do = "wait", ms = 5000 }', '{ do = "sleep", ms = 5000 }', "steps.0 must be marked with one of"),
        ('{ do = "wait", ms = 5000 }', '{ do = "wait" }', "steps.0.ms is missing"),
        (
            "An order worth a dollar more is denied.",
            "An order of the strategy's largest worth passes.",
            "of their own each",
        ),
        ("at = 2026-03-04T15:00:00Z", "at = 2026-03-04T15:00:00", "at must be a moment with its offset from UTC"),
        ('strategy = "crypto/twap"\n', "", "route.strategy is missing"),
    ],
)
def test_fault_is_named_with_file_and_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = with_case_text(tmp_path, old, new)

    with pytest.raises(PolicyInvalid) as refused:
        load_cases(folder)

    assert any(line.startswith(f"{FILE}: ") and says in line for line in str(refused.value).splitlines()), refused.value


def test_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path, {FILE: shipped_cases()[FILE][:-20]})

    with pytest.raises(PolicyInvalid, match=r"cases/perpetual\.toml: the file must end with a line break"):
        load_cases(folder)


def test_unknown_name_beside_the_cases_is_still_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path, shipped_files() | {"case/x.toml": b"\n"})

    with pytest.raises(PolicyInvalid, match="case: no policy file has this name"):
        load_policies(folder)
