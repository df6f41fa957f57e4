"""Finds the recordings in a folder, chooses the one that fits an instrument, and says why it took that one.

A recording is what belongs together: the files of one instrument whose later days carry on from the first without a
snapshot, or the two files of one LOBSTER day. Definitions of the recorded instruments are here, since the files state
neither tick nor lot.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

from controlplane.domain.errors import FeedUnavailable, UnknownReference
from controlplane.domain.instruments import Contract, Instrument
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lines import Unreadable, numbered_lines
from executor.marketdata.readers.lobster import LobsterReader

BINANCE, NASDAQ = "BINANCE-SIM", "NASDAQ-SIM"
ALWAYS = "always"
NASDAQ_SESSIONS = "XNAS"
# A file that starts a recording shows its snapshot within seconds; in the longest of ours it is line 55.
SNAPSHOT_WITHIN_LINES = 2_000

_BINANCE_FILE = re.compile(r"(usdm|coinm|spot)_([a-z0-9_]+)_(\d{8})\.jsonl(?:\.gz)?", re.ASCII)
_LOBSTER_FILE = re.compile(r"([A-Z][A-Z.]*)_(\d{4}-\d\d-\d\d)_(\d+_\d+)_message_(\d+)\.csv(?:\.gz)?", re.ASCII)

BinanceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording and what it holds.

    Fields
        name        of its first file, without the ending: how `--recording` names it
        market      usdm, coinm or spot of Binance, or lobster
        venue       our name of the simulated venue that plays it
        symbol      the recorded venue's own name of the instrument
        instrument  definition with tick and lot
        files       in the order in which they are read; message and order book file for LOBSTER
        days        first and last day
        choice      sentence that says why this one was taken; empty until `find` chose it
    """

    name: str
    market: str
    venue: str
    symbol: str
    instrument: Instrument
    files: tuple[Path, ...]
    days: tuple[date, date]
    choice: str = ""

    def open(self) -> BinanceReader | LobsterReader:
        """Return a reader of the recording; nothing is read before its events are taken."""
        if self.market == "lobster":
            return LobsterReader(*self.files, instrument=self.instrument, feed=self.name, day=self.days[0])
        return BinanceReader(
            self.files,
            instrument=self.instrument,
            feed=self.name,
            symbol=self.symbol,
            has_finer_sizes=self.market == "spot",
        )


def find(data_dir: Path, instrument: str, recording: str | None = None) -> Recording:
    """Return the recording of an instrument: the named one, or else the USD-margined perpetual of the latest day.

    Arguments
        instrument  our name of it or the venue's, in either case
        recording   name of a recording, or of any file of it
    Errors
        FeedUnavailable when the folder is missing or holds no recording; UnknownReference when nothing in it fits. Both
        sentences list what is there
    """
    there = list_recordings(data_dir)
    if recording is not None:
        return _named(there, data_dir, instrument, recording)
    fitting = [one for one in there if _holds(one, instrument)]
    if not fitting:
        raise UnknownReference(
            f"Expected a recording of {instrument[:40]!r} in {data_dir}, found {_listing(there)}; "
            "name one of these instruments."
        )
    best = max(fitting, key=lambda one: (one.market == "usdm", one.days[1], one.name))
    if len(fitting) == 1:
        return replace(best, choice=f"{best.name} is the only recording of {instrument} there.")
    kind = "USD-margined perpetual" if best.market == "usdm" else "recording"
    others = ", ".join(one.name for one in fitting if one is not best)
    return replace(
        best, choice=f"{best.name} was taken, the {kind} of the latest day; --recording names another: {others}."
    )


def list_recordings(data_dir: Path) -> tuple[Recording, ...]:
    """Return every recording in a folder that we know the instrument of, by name.

    Errors
        FeedUnavailable when the folder is missing or holds none
    """
    if not data_dir.is_dir():
        raise FeedUnavailable(f"Expected a folder of recordings at {data_dir}, found none; give another with --data.")
    paths = sorted(path for path in data_dir.iterdir() if path.is_file())
    there = sorted([*_binance(paths), *_lobster(paths)], key=lambda one: one.name)
    if not there:
        raise FeedUnavailable(
            f"Expected recordings such as usdm_btcusdt_20240808.jsonl.gz or AMZN_2012-06-21_..._message_5.csv.gz, "
            f"found {len(paths)} other files in {data_dir}; give another folder with --data."
        )
    return tuple(there)


def _named(there: Sequence[Recording], data_dir: Path, instrument: str, name: str) -> Recording:
    for one in there:
        if name == one.name or any(path.name.startswith(f"{name}.") for path in one.files):
            if not _holds(one, instrument):
                raise UnknownReference(
                    f"Expected a recording of {instrument[:40]!r}, found that {one.name} holds {one.instrument.name}; "
                    "name the one or the other."
                )
            part = "" if name == one.name else f" {name} is part of it and has no snapshot of its own."
            return replace(one, choice=f"{one.name} was asked for.{part}")
    raise UnknownReference(
        f"Expected a recording named {name[:60]!r} in {data_dir}, found {_listing(there)}; name one of these."
    )


def _holds(recording: Recording, instrument: str) -> bool:
    return instrument.upper() in (recording.instrument.name.upper(), recording.symbol.upper())


def _listing(recordings: Sequence[Recording]) -> str:
    return ", ".join(f"{one.name} ({one.instrument.name})" for one in recordings[:30])


def _binance(paths: Sequence[Path]) -> Iterator[Recording]:
    days: dict[BinanceKey, list[tuple[date, Path]]] = {}
    for path in paths:
        match = _BINANCE_FILE.fullmatch(path.name)
        day = _day(match[3]) if match else None
        if match and day and (match[1], match[2]) in BINANCE_INSTRUMENTS:
            days.setdefault((match[1], match[2]), []).append((day, path))
    for key, dated in days.items():
        instrument, symbol = BINANCE_INSTRUMENTS[key]
        for group in _continued(sorted(dated)):
            name = group[0][1].name.partition(".")[0]
            files = tuple(path for _, path in group)
            yield Recording(name, key[0], BINANCE, symbol, instrument, files, (group[0][0], group[-1][0]))


def _continued(dated: Sequence[tuple[date, Path]]) -> Iterator[list[tuple[date, Path]]]:
    """Yield the files that belong together: consecutive days, the later ones without a snapshot of their own."""
    group: list[tuple[date, Path]] = []
    for day, path in dated:
        if group and (day != group[-1][0] + timedelta(days=1) or _starts_with_snapshot(path)):
            yield group
            group = []
        group.append((day, path))
    if group:
        yield group


def _starts_with_snapshot(path: Path) -> bool:
    try:
        return any(b'{"lastUpdateId"' in line[:40] for _, line in islice(numbered_lines(path), SNAPSHOT_WITHIN_LINES))
    except Unreadable:
        # The reader names the damage; here the file just doesn't show a snapshot.
        return False


def _lobster(paths: Sequence[Path]) -> Iterator[Recording]:
    by_name = {path.name: path for path in paths}
    for path in paths:
        match = _LOBSTER_FILE.fullmatch(path.name)
        book = by_name.get(path.name.replace("_message_", "_orderbook_"))
        day = _day(match[2]) if match else None
        if match and day and book:
            yield Recording(
                f"{match[1]}_{match[2]}", "lobster", NASDAQ, match[1], _equity(match[1]), (path, book), (day, day)
            )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _crypto(
    name: str, contract: Contract, *, tick: str, lot: str, price_min: str, price_max: str, quantity_max: str
) -> Instrument:
    """Return the definition of a linear Binance instrument in USDT."""
    tick_size, lot_size = Decimal(tick), Decimal(lot)
    return Instrument(
        name=name,
        underlying=name[:3],
        contract=contract,
        currency="USDT",
        settlement_currency="USDT",
        tick_size=tick_size,
        lot_size=lot_size,
        multiplier=Decimal(1),
        price_min_ticks=int(Decimal(price_min) / tick_size),
        price_max_ticks=int(Decimal(price_max) / tick_size),
        quantity_min_lots=1,
        quantity_max_lots=int(Decimal(quantity_max) / lot_size),
        lot_step=1,
        tick_bands=(),
        calendar=ALWAYS,
    )


def _equity(ticker: str) -> Instrument:
    """Return the definition of a share on NASDAQ: cents and single shares."""
    return Instrument(
        name=ticker,
        underlying=ticker,
        contract=Contract.EQUITY,
        currency="USD",
        settlement_currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
        multiplier=Decimal(1),
        price_min_ticks=1,
        price_max_ticks=20_000_000,
        quantity_min_lots=1,
        quantity_max_lots=999_999,
        lot_step=1,
        tick_bands=(),
        calendar=NASDAQ_SESSIONS,
    )


BTCUSDT_PERPETUAL = _crypto(
    "BTCUSDT-PERP",
    Contract.PERPETUAL,
    tick="0.1",
    lot="0.001",
    price_min="500",
    price_max="1000000",
    quantity_max="1000",
)
ETHUSDT_PERPETUAL = _crypto(
    "ETHUSDT-PERP",
    Contract.PERPETUAL,
    tick="0.01",
    lot="0.001",
    price_min="20",
    price_max="100000",
    quantity_max="10000",
)
BTCUSDT_SPOT = _crypto(
    "BTCUSDT-SPOT",
    Contract.SPOT,
    tick="0.01",
    lot="0.00001",
    price_min="0.01",
    price_max="1000000",
    quantity_max="9000",
)
# Coin-margined: a lot is one contract of 100 dollars' worth of bitcoin, settled in bitcoin.
BTCUSD_PERPETUAL = Instrument(
    name="BTCUSD-PERP",
    underlying="BTC",
    contract=Contract.PERPETUAL,
    currency="USD",
    settlement_currency="BTC",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    multiplier=Decimal(100),
    price_min_ticks=5_000,
    price_max_ticks=10_000_000,
    quantity_min_lots=1,
    quantity_max_lots=1_000_000,
    lot_step=1,
    tick_bands=(),
    calendar=ALWAYS,
    is_inverse=True,
)

# By (market, symbol in a file's name): our definition and the venue's symbol, which a pair and its perpetual share.
BINANCE_INSTRUMENTS: dict[BinanceKey, tuple[Instrument, str]] = {
    ("usdm", "btcusdt"): (BTCUSDT_PERPETUAL, "BTCUSDT"),
    ("usdm", "ethusdt"): (ETHUSDT_PERPETUAL, "ETHUSDT"),
    ("spot", "btcusdt"): (BTCUSDT_SPOT, "BTCUSDT"),
    ("coinm", "btcusd_perp"): (BTCUSD_PERPETUAL, "BTCUSD_PERP"),
}
