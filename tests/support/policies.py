"""A small rule book that passes every check, ways to damage it, and snapshots of it and of the shipped rule book."""

import copy
import dataclasses
import datetime as dt
import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from controlplane.gate.snapshot import Snapshot
from controlplane.limits.compile import compile_snapshot
from controlplane.policy.load import load_policies, parse_policies
from controlplane.policy.schema import FILES, Policies
from tests.support.policies_of_breakers import BEATS, BREAKERS, DYNAMIC, RETENTION, TELEMETRY

SHIPPED = Path(__file__).resolve().parents[2] / "policies"
# 2024-08-08 23:54:15 UTC, a Thursday: the first second of the newest recordings.
AS_OF_NS = 1_723_161_255_000_000_000

INSTRUMENTS = """
[instruments.BTC-PERP]
underlying = "BTC"
contract = "perpetual"
payoff = "linear"
currency = "USDT"
settlement_currency = "USDT"
tick_size = "0.1"
lot_size = "0.001"
multiplier = "1"
price_min = "100"
price_max = "1000000"
quantity_min = "0.001"
quantity_max = "1000"
quantity_step = "0.001"
calendar = "always"
volume_curve = "day"

[instruments.BTC-INVERSE]
underlying = "BTC"
contract = "perpetual"
payoff = "inverse"
currency = "USD"
settlement_currency = "BTC"
tick_size = "0.1"
lot_size = "1"
multiplier = "100"
price_min = "100"
price_max = "1000000"
quantity_min = "1"
quantity_max = "1000000"
quantity_step = "1"
calendar = "always"
volume_curve = "none"

[instruments.ETH-PERP]
underlying = "ETH"
contract = "perpetual"
payoff = "linear"
currency = "USDT"
settlement_currency = "USDT"
tick_size = "0.01"
lot_size = "0.001"
multiplier = "1"
price_min = "10"
price_max = "100000"
quantity_min = "0.001"
quantity_max = "10000"
quantity_step = "0.001"
calendar = "weekdays"
volume_curve = "session"

[instruments.ETH-CALL]
underlying = "ETH"
contract = "option"
payoff = "linear"
currency = "USDT"
settlement_currency = "USDT"
tick_size = "0.1"
lot_size = "1"
multiplier = "1"
price_min = "0.1"
price_max = "50000"
quantity_min = "1"
quantity_max = "5000"
quantity_step = "1"
calendar = "always"
volume_curve = "none"
tick_bands = [{ from_price = "0", step = "0.1" }, { from_price = "100", step = "0.5" }]
expiry = 2037-12-25T08:00:00Z

[instruments.ETH-CALL.option]
strike = "4000"
right = "call"
underlying_instrument = "ETH-PERP"
"""

CURRENCIES = """
reporting_currency = "USD"

[currencies.USD]
source = "fixed"
rate = "1"
reason = "unit of account"

[currencies.USDT]
source = "fixed"
rate = "1"
reason = "redeemable at par"

[currencies.BTC]
source = "observed"
"""

VENUES = """
[venues.SIM]
description = "simulated venue"
instruments = ["BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL"]
book = "SIM"
counterparties = ["SIM-CLEARING"]
fee_maker_bps = "-0.5"
fee_taker_bps = "5"

[counterparties.SIM-CLEARING]
description = "clearing of the simulated venue"
"""

CALENDARS = """
[calendars.always]
kind = "always"

[calendars.weekdays]
kind = "weekly"
time_zone = "America/New_York"
covered_years = [2012, 2024, 2026]
weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday"]
sessions = [{ open = "09:30", close = "16:00" }]
holidays = [2024-08-12]
early_closes = [{ date = 2024-08-13, close = "13:00" }]
"""

VOLUME_CURVES = """
[volume_curves.day]
description = "a day in four bins"
calendar = "always"
bin_minutes = 360
weights = [1, 2, 3, 4]

[volume_curves.session]
description = "a session in three bins"
calendar = "weekdays"
bin_minutes = 130
weights = [3, 1, 2]
"""

WATCH = """
permit_ttl_ms = 500
phase_age_ms_max = 60000
volume_age_ms_max = 10000
rate_age_ms_max = 60000
message_window_ms = 10000
denied_window_ms = 60000
participation_window_ms = 300000
duplicate_window_ms = 1000
reject_window_ms = 10000
ratio_window_ms = 60000
ratio_orders_min = 100
walk_window_ms = 60000
disagreement_hold_ms = 3000
snapshot_validity_hours = 168
near_bps = 8000
is_phase_required = true

"""

GOVERNANCE = """
[models.schedule]
description = "schedules without learned bytes"
status = "approved"
artefact_sha256 = "none"
expires = "never"

[models.impact]
description = "a learned model"
status = "in validation"
artefact_sha256 = "00000000000000000000000000000000000000000000000000000000000000ff"
expires = 2030-01-01T00:00:00+01:00
"""


def _level(daily_loss_max: str) -> str:
    """Return limits of a level; levels differ in one number, so that mixing them up shows."""
    return f'{_LEVEL}daily_loss_max = "{daily_loss_max}"\n'


_LEVEL = (
    'order_notional_max = "1000000"\ngross_notional_max = "10000000"\nnet_notional_max = "8000000"\n'
    'open_notional_max = "3000000"\nlive_orders_max = 50\nmessage_count_max = 200\nmessage_reserve_bps = 2000\n'
    "denied_count_max = 40\n"
)
_HABITS = "cancel_ratio_bps_max = 9000\norders_per_trade_max = 60\nrepeated_executions_max = 3000\n"
_BEHAVIOUR = f'turnover_max = "90000000"\n{_HABITS}'
_LINE = 'order_quantity_max = "{0}", position_long_max = "{1}", position_short_max = "{1}"'
_SHARE = ", participation_bps_max = 2500"


def _lines(share: str) -> str:
    btc, inverse, eth, call = (
        _LINE.format(*pair) + share for pair in (("20", "100"), ("10000", "50000"), ("200", "2000"), ("50", "1000"))
    )
    return f"BTC-PERP = {{ {btc} }}\nBTC-INVERSE = {{ {inverse} }}\nETH-PERP = {{ {eth} }}\nETH-CALL = {{ {call} }}\n"


_MONEY_SCOPE = 'order_notional_max = "1000000"\ngross_notional_max = "10000000"\nopen_notional_max = "3000000"\n'
_INSTRUMENT_SCOPES = "".join(
    f"[instruments.{name}]\n{_MONEY_SCOPE}live_orders_max = 50\n\n"
    for name in ("BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL")
)
_UNDERLYING_SCOPES = "".join(
    f'[underlyings.{name}]\ngross_notional_max = "10000000"\nnet_notional_max = "8000000"\n'
    f'open_notional_max = "3000000"\n\n'
    for name in ("BTC", "ETH")
)
_PLACE = _MONEY_SCOPE + 'net_notional_max = "8000000"\nlive_orders_max = 50\n'

FIRM = (
    f"restricted_instruments = []\n\n[firm]\n{_level('500000')}{_BEHAVIOUR}\n[firm.instruments]\n{_lines(_SHARE)}\n"
    f"{_INSTRUMENT_SCOPES}{_UNDERLYING_SCOPES}"
    f"[venues.SIM]\n{_PLACE}message_count_max = 200\nmessage_reserve_bps = 2000\n\n"
    f"[venues.SIM.instruments]\n{_lines(_SHARE)}\n"
    f"[counterparties.SIM-CLEARING]\n{_PLACE}\n[counterparties.SIM-CLEARING.instruments]\n{_lines('')}"
)

DESKS = (
    '[desks.crypto]\nbeneficial_owner = "FIRM"\nstrategies = ["crypto/twap", "crypto/pov"]\n'
    f"{_level('400000')}{_BEHAVIOUR}\n"
    f"[desks.crypto.instruments]\n{_lines(_SHARE)}"
)

STRATEGIES = (
    f"[limit_sets.wide]\n{_level('300000')}{_BEHAVIOUR}\n[limit_sets.wide.instruments]\n{_lines(_SHARE)}\n"
    f"[limit_sets.narrow]\n{_level('200000')}{_BEHAVIOUR}\n[limit_sets.narrow.instruments]\n{_lines(_SHARE)}\n"
    f"[parent_limit_sets.block]\n{_level('100000')}children_max = 500\namends_max = 900\n"
    "duplicate_orders_max = 400\nsame_rejects_max = 300\n"
    """
[strategies."crypto/twap"]
instruments = ["BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL"]
venues = ["SIM"]
limits = "wide"
parent_limits = "block"
models = { schedule = "narrow" }

[strategies."crypto/pov"]
instruments = ["BTC-PERP"]
venues = ["SIM"]
limits = "wide"
parent_limits = "block"
models = { schedule = "narrow", impact = "narrow" }
"""
)

_OWN = "dynamic_collar_bps = 600\nreferences_min = 1\ndisagreement_bps_max = 350\nwalk_bps_max = 700\n"
_COLLAR = f"collar_bps = 500\nis_one_sided = false\nspread_bps_max = 50\nreference_age_ms_max = 2000\n{_OWN}"
COLLARS = (
    f'[instruments.BTC-PERP]\n{_COLLAR}participation_floor = "100"\n\n'
    f'[instruments.BTC-INVERSE]\n{_COLLAR}participation_floor = "10000"\n\n'
    f'[instruments.ETH-PERP]\n{_COLLAR}participation_floor = "1000"\nstatic_reference = "2500"\n\n'
    f'[instruments.ETH-CALL]\n{_COLLAR}participation_floor = "1000"\noption_stress_bps = 2500\n'
)
SMALL: Mapping[str, str] = {
    "instruments.toml": INSTRUMENTS,
    "currencies.toml": CURRENCIES,
    "venues.toml": VENUES,
    "calendars.toml": CALENDARS,
    "volume_curves.toml": VOLUME_CURVES,
    "watch.toml": WATCH + BEATS,
    "breakers.toml": BREAKERS,
    "telemetry.toml": TELEMETRY,
    "dynamic.toml": DYNAMIC,
    "governance.toml": GOVERNANCE,
    "retention.toml": RETENTION,
    "limits/firm.toml": FIRM,
    "limits/desks.toml": DESKS,
    "limits/strategies.toml": STRATEGIES,
    "limits/collars.toml": COLLARS,
}


def small_files() -> dict[str, bytes]:
    """Return the files of the small rule book."""
    return {name: text.encode() for name, text in SMALL.items()}


def small_files_with(file: str, old: str, new: str) -> dict[str, bytes]:
    """Return the small rule book with the first occurrence of a text in one file replaced; the text must be there."""
    text = SMALL[file]
    assert old in text, f"{file} holds no {old!r}"
    return small_files() | {file: text.replace(old, new, 1).encode()}


def small_policies() -> Policies:
    """Return the small rule book, read."""
    return parse_policies(small_files())


def small_snapshot(*, as_of_ns: int = AS_OF_NS, version: int = 1, **changes: object) -> Snapshot:
    """Return a valid small snapshot, fields replaced as asked.

    It has the desk `crypto` with the strategies `crypto/twap` (every instrument, approved model `crypto/twap/schedule`)
    and `crypto/pov` (BTC-PERP, also with the model `crypto/pov/impact`, which isn't approved), the venue `SIM` with the
    counterparty `SIM-CLEARING`, and the instruments BTC-PERP, BTC-INVERSE, ETH-CALL (always open) and ETH-PERP, which
    trades on weekdays in New York and is closed at AS_OF_NS.
    """
    snapshot = compile_snapshot(small_policies(), as_of_ns=as_of_ns, version=version)
    return dataclasses.replace(snapshot, **changes)  # type: ignore[arg-type]


def shipped_snapshot(as_of_ns: int = AS_OF_NS, *, version: int = 1) -> Snapshot:
    """Return the snapshot of the rule book that is shipped."""
    return compile_snapshot(shipped_policies(), as_of_ns=as_of_ns, version=version)


@functools.cache
def shipped_policies() -> Policies:
    """Return the rule book that is shipped, read once a process."""
    return load_policies(SHIPPED)


def shipped_files() -> dict[str, bytes]:
    """Return the bytes of every shipped policy file."""
    return {name: (SHIPPED / name).read_bytes() for name in FILES}


def shipped_cases() -> dict[str, bytes]:
    """Return the bytes of every shipped file of cases."""
    return {f"cases/{path.name}": path.read_bytes() for path in sorted((SHIPPED / "cases").iterdir())}


def write_files(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Return the folder after writing policy files into it."""
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


# --- files taken apart and put together again


def contents_of(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """Return the keys of every file."""
    return {name: tomllib.loads(content.decode()) for name, content in files.items()}


def without(contents: Mapping[str, dict[str, object]], file: str, path: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return the keys of every file less one key, or less one table with all in it."""
    changed = copy.deepcopy(contents[file])
    table = changed
    for key in path[:-1]:
        inner = table[key]
        assert isinstance(inner, dict)
        table = inner
    del table[path[-1]]
    return {**contents, file: changed}


def key_paths(table: Mapping[str, object], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every key of nested tables, those that hold tables included."""
    paths: list[tuple[str, ...]] = []
    for key, value in table.items():
        paths.append((*above, key))
        if isinstance(value, Mapping):
            paths += key_paths(value, (*above, key))
    return paths


def toml_text(content: Mapping[str, object]) -> str:
    """Return TOML that reads back as the given keys; every nested table is written inline."""
    return "".join(f"{_quoted(key)} = {_toml_value(value)}\n" for key, value in content.items())


def _toml_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _quoted(value)
        case dt.date():
            return value.isoformat()
        case list():
            return f"[{', '.join(_toml_value(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{_quoted(key)} = {_toml_value(item)}' for key, item in value.items())}}}"
    raise TypeError(f"no policy file holds a {type(value).__name__}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
