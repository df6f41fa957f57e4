"""Finding a recording: which one is taken, what is said about it, and what is said when nothing fits."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from controlplane.domain.errors import FeedUnavailable, UnknownReference
from executor.marketdata.readers.binance import BinanceReader
from executor.marketdata.readers.lobster import LobsterReader
from executor.marketdata.readers.recordings import find, list_recordings
from tests.support.market import depth_line, snapshot_line, write_lines

SNAPSHOT = snapshot_line(10, [("10.0", "1.000")], [("10.2", "1.500")])
DIFF = depth_line(11, 12, 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of two days of a perpetual, a continued older one, the spot pair, and files that are none."""
    for name, lines in {
        "usdm_btcusdt_20240807": [SNAPSHOT],
        "usdm_btcusdt_20240808": [DIFF, SNAPSHOT],
        "usdm_btcusdt_20230404": [SNAPSHOT],
        "usdm_btcusdt_20230405": [DIFF],
        "spot_btcusdt_20240809": [SNAPSHOT],
        "coinm_btcusd_perp_20240808": [SNAPSHOT],
        "usdm_unknownusdt_20240808": [SNAPSHOT],
        "usdm_btcusdt_20241399": [SNAPSHOT],
    }.items():
        write_lines(tmp_path / f"{name}.jsonl.gz", lines)
    for name in ("message", "orderbook"):
        write_lines(tmp_path / f"AMZN_2012-06-21_34200000_57600000_{name}_5.csv.gz", ["x"])
    write_lines(tmp_path / "AAPL_2012-06-21_34200000_57600000_message_1.csv.gz", ["x"])
    (tmp_path / "README.md").write_text("words")
    return tmp_path


def test_perpetual_of_the_latest_day_is_taken_and_the_others_are_named(folder: Path) -> None:
    recording = find(folder, "BTCUSDT")

    assert recording.name == "usdm_btcusdt_20240808"
    assert recording.choice == (
        "usdm_btcusdt_20240808 was taken, the USD-margined perpetual of the latest day; "
        "--recording names another: spot_btcusdt_20240809, usdm_btcusdt_20230404, usdm_btcusdt_20240807."
    )


def test_named_recording_is_taken(folder: Path) -> None:
    recording = find(folder, "btcusdt", "spot_btcusdt_20240809")

    assert (recording.instrument.name, recording.choice) == ("BTCUSDT-SPOT", "spot_btcusdt_20240809 was asked for.")


def test_our_own_name_finds_it_too(folder: Path) -> None:
    recording = find(folder, "BTCUSDT-SPOT")

    assert recording.choice == "spot_btcusdt_20240809 is the only recording of BTCUSDT-SPOT there."


def test_second_day_without_a_snapshot_belongs_to_the_first(folder: Path) -> None:
    recording = find(folder, "BTCUSDT", "usdm_btcusdt_20230405")

    assert recording.name == "usdm_btcusdt_20230404"
    assert [path.name for path in recording.files] == [
        "usdm_btcusdt_20230404.jsonl.gz",
        "usdm_btcusdt_20230405.jsonl.gz",
    ]
    assert recording.days == (date(2023, 4, 4), date(2023, 4, 5))
    assert "usdm_btcusdt_20230405 is part of it" in recording.choice


def test_only_complete_recordings_of_known_instruments_are_listed(folder: Path) -> None:
    assert [recording.name for recording in list_recordings(folder)] == [
        "AMZN_2012-06-21",
        "coinm_btcusd_perp_20240808",
        "spot_btcusdt_20240809",
        "usdm_btcusdt_20230404",
        "usdm_btcusdt_20240807",
        "usdm_btcusdt_20240808",
    ]


@pytest.mark.parametrize(
    ("asked", "name", "tick", "lot", "multiplier", "is_inverse"),
    [
        ("BTCUSDT", "BTCUSDT-PERP", "0.1", "0.001", "1", False),
        ("BTCUSD_PERP", "BTCUSD-PERP", "0.1", "1", "100", True),
        ("BTCUSDT-SPOT", "BTCUSDT-SPOT", "0.01", "0.00001", "1", False),
        ("AMZN", "AMZN", "0.01", "1", "1", False),
    ],
)
def test_definitions_of_the_recorded_instruments(
    folder: Path, asked: str, name: str, tick: str, lot: str, multiplier: str, is_inverse: bool
) -> None:
    instrument = find(folder, asked).instrument

    assert (instrument.name, instrument.tick_size, instrument.lot_size) == (name, Decimal(tick), Decimal(lot))
    assert (instrument.multiplier, instrument.is_inverse) == (Decimal(multiplier), is_inverse)


def test_each_kind_opens_with_its_reader(folder: Path) -> None:
    assert isinstance(find(folder, "AMZN").open(), LobsterReader)
    assert isinstance(find(folder, "BTCUSDT").open(), BinanceReader)


def test_unknown_instrument_lists_what_is_there(folder: Path) -> None:
    with pytest.raises(
        UnknownReference, match=r"Expected a recording of 'DOGE' in .*, found AMZN_2012-06-21 \(AMZN\), coinm"
    ):
        find(folder, "DOGE")


def test_unknown_recording_lists_what_is_there(folder: Path) -> None:
    with pytest.raises(UnknownReference, match=r"Expected a recording named 'usdm_btcusdt_1999'.*found AMZN"):
        find(folder, "BTCUSDT", "usdm_btcusdt_1999")


def test_recording_of_another_instrument_is_refused(folder: Path) -> None:
    with pytest.raises(UnknownReference, match="found that AMZN_2012-06-21 holds AMZN"):
        find(folder, "BTCUSDT", "AMZN_2012-06-21")


def test_missing_folder_and_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")

    with pytest.raises(FeedUnavailable, match=r"Expected a folder of recordings at .*nowhere, found none"):
        find(tmp_path / "nowhere", "BTCUSDT")
    with pytest.raises(FeedUnavailable, match="found 1 other files"):
        find(tmp_path, "BTCUSDT")
