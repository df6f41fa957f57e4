"""A gate's utilisation answer: checked, in order of concern, rolled up the scope tree."""

import pytest

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.scopes import FIRM, Level, Scope
from controlplane.limits.utilisation import Standing, by_concern, rolled_up, rows_from


def row(**changes: object) -> dict[str, object]:
    return {
        "limit": "gross_notional",
        "scope": "desk:crypto",
        "instrument": None,
        "unit": "micro",
        "used": 400,
        "reserved": 100,
        "limit_value": 1_000,
        "headroom": 500,
        "share_bps": 5_000,
        "is_near": False,
        "is_unknown": False,
    } | changes


def answer(*rows: dict[str, object]) -> dict[str, object]:
    return {"wall_ns": 1, "rows": list(rows)}


NEAR = row(limit="live_orders", unit="count", share_bps=8_500, headroom=150, is_near=True)
BREACH = row(limit="position_short", unit="lots", instrument="ETH-PERP", headroom=-1, share_bps=10_001, is_near=True)
UNKNOWN = row(limit="participation", unit="bps", share_bps=0, is_unknown=True)


def test_unknown_comes_before_breach_before_near_before_normal() -> None:
    rows = rows_from(answer(row(), NEAR, BREACH, UNKNOWN))

    assert [row.standing for row in rows] == [Standing.UNKNOWN, Standing.BREACH, Standing.NEAR, Standing.NORMAL]


def test_an_unknown_limit_is_unknown_even_where_its_last_numbers_were_a_breach() -> None:
    assert rows_from(answer(BREACH | {"is_unknown": True}))[0].standing is Standing.UNKNOWN


def test_a_limit_used_up_exactly_is_no_breach() -> None:
    assert rows_from(answer(row(headroom=0, share_bps=10_000, is_near=True)))[0].standing is Standing.NEAR


def test_equally_concerning_rows_are_ordered_by_share_then_scope_then_name() -> None:
    rows = rows_from(
        answer(
            row(limit="b", share_bps=10),
            row(limit="a", share_bps=10),
            row(limit="z", share_bps=20),
            row(limit="c", scope="firm:firm", share_bps=10),
        )
    )

    assert [row.limit for row in rows] == ["z", "c", "a", "b"]
    assert by_concern(reversed(rows)) == rows


def test_the_worst_standing_rises_to_the_top_of_the_tree() -> None:
    rows = rows_from(
        answer(
            row(scope="firm:firm"),
            row(scope="desk:crypto"),
            NEAR | {"scope": "desk:equities"},
            BREACH | {"scope": "model:crypto/twap/schedule"},
        )
    )

    firm = rolled_up(rows)

    assert firm is not None
    assert (firm.scope, firm.standing, firm.worst.limit) == (FIRM, Standing.BREACH, "position_short")
    assert [(str(child.scope), child.standing) for child in firm.children] == [
        ("desk:crypto", Standing.BREACH),
        ("desk:equities", Standing.NEAR),
    ]
    crypto = firm.children[0]
    assert [row.standing for row in crypto.rows] == [Standing.NORMAL]
    assert crypto.children[0].scope == Scope(Level.STRATEGY, "crypto/twap")
    assert crypto.children[0].rows == ()
    assert crypto.children[0].children[0].worst == crypto.worst


def test_cross_dimensions_and_parent_orders_hang_below_the_firm() -> None:
    firm = rolled_up(rows_from(answer(row(scope="venue:SIM"), row(scope="parent:00ff"), row(scope="instrument:X"))))

    assert firm is not None
    assert [str(child.scope) for child in firm.children] == ["parent:00ff", "instrument:X", "venue:SIM"]


def test_no_rows_make_no_tree() -> None:
    assert rolled_up(rows_from(answer())) is None


def test_numbers_wider_than_json_carries_arrive_as_text() -> None:
    parsed = rows_from(answer(row(limit_value="4611686018427387904", headroom="-9007199254740993")))[0]

    assert (parsed.limit_value, parsed.headroom) == (1 << 62, -9_007_199_254_740_993)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"used": None}, "used"),
        ({"used": 1.5}, "used"),
        ({"used": True}, "used"),
        ({"used": "١٢"}, "used"),
        ({"used": "1" * 21}, "used"),
        ({"headroom": "-"}, "headroom"),
        ({"limit": ""}, "limit"),
        ({"limit": 3}, "limit"),
        ({"unit": "furlong"}, "unit"),
        ({"unit": ["micro"]}, "unit"),
        ({"is_near": 1}, "is_near"),
        ({"is_unknown": None}, "is_unknown"),
        ({"instrument": 7}, "instrument"),
        ({"scope": "planet:earth"}, "scope"),
    ],
)
def test_a_malformed_row_is_refused_with_its_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        rows_from(answer(row(), row(**changes)))

    assert refused.value.field == field
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("malformed", [{}, {"rows": None}, {"rows": {}}, {"rows": [1]}, {"rows": ["x"]}])
def test_an_answer_without_rows_is_refused(malformed: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="tilisation answer"):
        rows_from(malformed)
