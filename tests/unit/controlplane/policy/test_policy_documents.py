"""The page beside the policy files says what every key and every file means."""

import pytest

from controlplane.policy import cases, market, reactions, schema
from controlplane.policy.fields import Table
from controlplane.policy.schema import FILES
from tests.support.policies import SHIPPED

PAGE = (SHIPPED / "README.md").read_text()
TABLES = {
    item
    for module in (cases, market, reactions, schema)
    for item in vars(module).values()
    if isinstance(item, type) and issubclass(item, Table) and item not in (Table, schema.RuleBook)
}
KEYS = sorted({name for table in TABLES for name in table.model_fields})


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_explained(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("file", sorted(FILES))
def test_every_file_is_listed(file: str) -> None:
    assert f"\n| `{file}` | " in PAGE


def test_the_page_is_checked_against_all_tables() -> None:
    assert len(TABLES) >= 30
    assert {"order_notional_max", "tick_bands", "near_bps", "early_closes"} <= set(KEYS)


@pytest.mark.parametrize("file", sorted([*FILES, "cases/perpetual.toml", "cases/option.toml"]))
def test_every_shipped_file_says_what_it_is_in_its_first_line(file: str) -> None:
    assert (SHIPPED / file).read_text().startswith("# ")
