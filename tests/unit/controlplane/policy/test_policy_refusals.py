"""Every way in which a value of a policy file can be wrong, and the sentence it is refused with."""

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.policy.load import parse_policies
from tests.support.policies import small_files_with

MONEY = 'order_notional_max = "1000000"'
LINE = 'BTC-PERP = { order_quantity_max = "20"'


def refusal(file: str, old: str, new: str) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policies(small_files_with(file, old, new))
    return str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        '"-1"',
        '"-0.000001"',
        '"NaN"',
        '"inf"',
        '"-inf"',
        '"1e6"',
        '"1_000"',
        '"١٠"',
        '""',
        '"1."',
        '"0x10"',
        '"10000000000000000000"',
        '"1152921504607"',
        "1",
        "1000000.5",
        "nan",
        "inf",
        "true",
        "[]",
        "{}",
        "2024-01-01",
    ],
)
def test_money_that_is_no_plain_decimal_text_within_bounds_is_refused(written: str) -> None:
    message = refusal("limits/desks.toml", MONEY, f"order_notional_max = {written}")

    assert message.startswith("limits/desks.toml: desks.crypto.order_notional_max must be ")
    assert message.endswith("; correct it.")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("written", ["20", "2.5", "nan", "true", '"-20"', '"NaN"', '"1e400"', '"0.' + "0" * 18 + '1"'])
def test_quantity_that_is_no_plain_decimal_text_is_refused(written: str) -> None:
    message = refusal("limits/firm.toml", LINE, f"BTC-PERP = {{ order_quantity_max = {written}")

    assert message.startswith("limits/firm.toml: firm.instruments.BTC-PERP.order_quantity_max must be ")


@pytest.mark.parametrize("written", ["-1", "10001", "25.0", '"2500"', "true", "nan", "99999999999999999999"])
def test_share_that_is_no_whole_number_of_bps_is_refused(written: str) -> None:
    message = refusal("limits/firm.toml", "participation_bps_max = 2500", f"participation_bps_max = {written}")

    assert message.startswith("limits/firm.toml: firm.instruments.BTC-PERP.participation_bps_max must be ")


@pytest.mark.parametrize("written", ["-1", "1000001", "50.0", '"50"', "false"])
def test_count_that_is_no_whole_number_is_refused(written: str) -> None:
    message = refusal("limits/desks.toml", "live_orders_max = 50", f"live_orders_max = {written}")

    assert message.startswith("limits/desks.toml: desks.crypto.live_orders_max must be ")


@pytest.mark.case("EVIDENCE-44")
@pytest.mark.parametrize("written", ["4", "0", "-7", "101", '"7"', "7.0"])
def test_records_kept_for_less_than_five_years_are_refused(written: str) -> None:
    message = refusal("retention.toml", "years = 7", f"years = {written}")

    assert message.startswith("retention.toml: years must be ")


def test_whole_message_budget_cannot_be_kept_for_cancels() -> None:
    message = refusal("limits/desks.toml", "message_reserve_bps = 2000", "message_reserve_bps = 10000")

    assert message == (
        "limits/desks.toml: desks.crypto.message_reserve_bps must be less than 10000, found 10000; correct it."
    )


def test_a_misspelt_key_is_named_with_the_key_that_is_missing() -> None:
    message = refusal("limits/desks.toml", "daily_loss_max", "dayly_loss_max")

    assert message.splitlines() == [
        (
            "limits/desks.toml: desks.crypto.daily_loss_max is missing; write it, since nothing is assumed for it "
            "(a limit of 0 permits nothing)."
        ),
        "limits/desks.toml: desks.crypto.dayly_loss_max is no known key; did you mean daily_loss_max?",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("watch.toml", "near_bps = 8000", "near_bps = 8000\ntolerance = 1", "tolerance"),
        ("limits/desks.toml", MONEY, MONEY + '\ndelta_max = "1"', "desks.crypto.delta_max"),
        ("instruments.toml", 'underlying = "BTC"', 'underlying = "BTC"\nisin = "X"', "instruments.BTC-PERP.isin"),
        ("limits/firm.toml", "[firm]\n", '[firm]\nfirm = "x"\n', "firm.firm"),
        ("limits/collars.toml", "is_one_sided = false", "is_one_sided = false\nx = 1", "instruments.BTC-PERP.x"),
    ],
)
def test_an_unknown_key_is_refused_in_every_kind_of_table(file: str, old: str, new: str, key: str) -> None:
    message = refusal(file, old, new)

    assert message.splitlines()[0].startswith(f"{file}: {key} is no known key; ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('tick_size = "0.1"', 'tick_size = "0"', "instruments.BTC-PERP.tick_size must be a number above zero"),
        ('tick_size = "0.1"', 'tick_size = "-0.1"', "tick_size must be a number above zero"),
        ('price_min = "100"', 'price_min = "100.05"', "must be prices on the tick grid"),
        ('price_max = "1000000"', 'price_max = "99"', "must be each minimum at or below its maximum"),
        ('price_max = "1000000"', 'price_max = "999999999999"', "beyond the largest value the gate accepts"),
        ('quantity_step = "0.001"', 'quantity_step = "0.0005"', "quantities on the lot grid"),
        ('quantity_step = "0.001"', 'quantity_step = "0.007"', "in whole quantity steps"),
        ('contract = "perpetual"', 'contract = "swap"', "contract must be one of 'spot', 'equity', 'perpetual'"),
        ('contract = "perpetual"', 'contract = "future"', "an expiry exactly for futures and options"),
        ('contract = "option"', 'contract = "future"', "must be a table `option` exactly for options"),
        ("expiry = 2037-12-25T08:00:00Z", "", "an expiry exactly for futures and options"),
        ("expiry = 2037-12-25T08:00:00Z", "expiry = 2037-12-25T08:00:00", "a moment with its offset from UTC"),
        ("expiry = 2037-12-25T08:00:00Z", "expiry = 2037-12-25", "a moment with its offset from UTC"),
        ("expiry = 2037-12-25T08:00:00Z", 'expiry = "2037-12-25T08:00:00Z"', "a moment with its offset from UTC"),
        ('right = "call"', 'right = "both"', "option.right must be one of 'call' or 'put'"),
        ('from_price = "100"', 'from_price = "0"', "tick bands in rising order"),
        ('price_max = "1000000"', 'price_max = "109951162777"', "whose largest order can be valued exactly"),
        ('quantity_max = "1000000"', 'quantity_max = "1099511627776"', "whose largest order can be valued exactly"),
        ('"0.1" }, {', '"0.1" }, ' + '{ from_price = "1", step = "0.1" }, ' * 3 + "{", "at most 4 items"),
        ('step = "0.5"', 'step = "0.25"', "prices on the tick grid"),
        ('payoff = "linear"', 'payoff = "inverse"', "linear payoff settled in `currency`"),
        ('settlement_currency = "BTC"', 'settlement_currency = "USD"', "linear payoff settled in `currency`"),
        ('payoff = "linear"', 'payoff = "quanto"', "payoff must be one of 'linear' or 'inverse'"),
    ],
)
def test_an_instrument_that_contradicts_itself_is_refused(old: str, new: str, expected: str) -> None:
    message = refusal("instruments.toml", old, new)

    assert message.startswith("instruments.toml: instruments.")
    assert expected in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("America/New_York", "America/New_Amsterdam", "time_zone must be a time zone such as"),
        ("America/New_York", "America", "time_zone must be a time zone such as"),
        ("America/New_York", "../../etc/passwd", "time_zone must be a time zone such as"),
        ("America/New_York", "", "time_zone must be a time zone such as"),
        ('open = "09:30"', 'open = "9:30"', "open must be text of the form"),
        ('open = "09:30"', 'open = "09:60"', "open must be text of the form"),
        ('close = "16:00"', 'close = "24:01"', "close must be text of the form"),
        ('close = "16:00"', 'close = "09:30"', "a session that closes after it opens"),
        ('close = "16:00" }]', 'close = "16:00" }, { open = "15:00", close = "17:00" }]', "without overlap"),
        ('"friday"', '"freitag"', "weekdays.4 must be one of 'monday'"),
        ("[2024-08-12]", "[2024-08-12, 2024-08-12]", "each date once"),
        ("[2024-08-12]", "[2023-08-14]", "only within covered_years (2023-08-14 is not)"),
        ("[2024-08-12]", '["2024-08-12"]', "holidays.0 must be a date such as"),
        ("[2024-08-12]", "[2024-08-12T00:00:00Z]", "holidays.0 must be a date such as"),
        ("[2012, 2024, 2026]", '["2024"]', "covered_years.0 must be a whole number"),
        ("[2012, 2024, 2026]", "[2024.0]", "covered_years.0 must be a whole number"),
        ("[2012, 2024, 2026]", "2024", "covered_years must be a list in square brackets"),
        ('kind = "weekly"', 'kind = "daily"', "must be marked with one of 'always', 'weekly'"),
        ('kind = "weekly"\n', "", "must be marked with 'kind'"),
        ('kind = "always"', 'kind = "always"\ntime_zone = "UTC"', "calendars.always.time_zone is no known key"),
    ],
)
def test_a_calendar_that_cannot_be_meant_is_refused(old: str, new: str, expected: str) -> None:
    message = refusal("calendars.toml", old, new)

    assert message.startswith("calendars.toml: calendars.")
    assert expected in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[1, 2, 3, 4]", "[1, -2, 3, 4]", "day.weights.1 must be greater than or equal to 0, found -2"),
        ("[1, 2, 3, 4]", "[1, 2.0, 3, 4]", "day.weights.1 must be a whole number without quotes"),
        ("[1, 2, 3, 4]", '[1, "2", 3, 4]', "day.weights.1 must be a whole number without quotes"),
        ("[1, 2, 3, 4]", "[1, true, 3, 4]", "day.weights.1 must be a whole number without quotes"),
        ("[1, 2, 3, 4]", "[1, 2, 3, 1000000001]", "day.weights.3 must be less than or equal to 1000000000"),
        ("[1, 2, 3, 4]", "[0, 0, 0, 0]", "day must be a curve with at least one weight above zero"),
        ("[1, 2, 3, 4]", "[]", "day.weights must be "),
        ("[1, 2, 3, 4]", "10", "day.weights must be a list in square brackets"),
        ("[1, 2, 3, 4]", "[1, 2, 3]", "weights must cover the 1440 minutes of a day of always with 4 bins of 360 "),
        ("[3, 1, 2]", "[3, 1, 2, 1]", "weights must cover the 390 minutes of a day of weekdays with 3 bins of 130 "),
        ("bin_minutes = 130", "bin_minutes = 100", "session.bin_minutes must divide every session of weekdays into"),
        ("bin_minutes = 360", "bin_minutes = 0", "day.bin_minutes must be greater than or equal to 1, found 0"),
        ("bin_minutes = 360", "bin_minutes = 1441", "day.bin_minutes must be less than or equal to 1440"),
        ("bin_minutes = 360\n", "", "day.bin_minutes is missing"),
        ('calendar = "weekdays"', 'calendar = "XLON"', 'session.calendar names "XLON", which calendars.toml'),
        ('calendar = "always"', 'calendar = "always"\nunit = "lots"', "day.unit is no known key"),
    ],
)
def test_a_volume_curve_that_does_not_cover_its_sessions_is_refused(old: str, new: str, expected: str) -> None:
    message = refusal("volume_curves.toml", old, new)

    assert message.startswith("volume_curves.toml: volume_curves.")
    assert expected in message
    assert len(message.splitlines()) == 1


def test_a_curve_may_not_have_the_name_that_stands_for_none() -> None:
    message = refusal("volume_curves.toml", "[volume_curves.day]", "[volume_curves.none]")

    assert message == (
        'volume_curves.toml: the file must be without the name "none", which stands for no curve; rename it, found a '
        "table; correct it."
    )


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (
            'volume_curve = "night"',
            'names "night", which volume_curves.toml doesn\'t define; correct the name or define',
        ),
        (
            'volume_curve = "session"',
            'a curve of the calendar always, found session of weekdays; name another or "none"',
        ),
        ("", "is missing; write it, since nothing is assumed for it"),
    ],
)
def test_an_instrument_names_a_curve_of_its_own_calendar_or_none(new: str, sentence: str) -> None:
    message = refusal("instruments.toml", 'volume_curve = "day"', new)

    assert message.startswith("instruments.toml: instruments.BTC-PERP.volume_curve ")
    assert sentence in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('artefact_sha256 = "none"', 'artefact_sha256 = ""', "64 lower-case hexadecimal digits"),
        ('artefact_sha256 = "none"', 'artefact_sha256 = "NONE"', "64 lower-case hexadecimal digits"),
        ("00ff", "00FF", "64 lower-case hexadecimal digits"),
        ("00ff", "0ff", "64 lower-case hexadecimal digits"),
        ('status = "approved"', 'status = "Approved"', "status must be one of 'proposed'"),
        ('expires = "never"', 'expires = "soon"', "expires must be"),
        ('expires = "never"', "expires = 2030-01-01T00:00:00", "expires must be a moment with its offset from UTC"),
        ('expires = "never"\n', "", "models.schedule.expires is missing"),
    ],
)
def test_a_model_that_is_not_pinned_or_dated_is_refused(old: str, new: str, expected: str) -> None:
    message = refusal("governance.toml", old, new)

    assert message.startswith("governance.toml: models.")
    assert expected in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('rate = "1"\nreason = "redeemable at par"', 'rate = "0"\nreason = "gone"', "rate must be a number above zero"),
        ('rate = "1"\nreason = "redeemable at par"', 'rate = "1"', "currencies.USDT.reason is missing"),
        ('source = "observed"', 'source = "observed"\nrate = "60000"', "currencies.BTC.rate is no known key"),
        ('source = "observed"', 'source = "guessed"', "must be marked with one of 'fixed', 'observed'"),
        ('reporting_currency = "USD"', 'reporting_currency = "BTC"', 'must be fixed at rate "1"'),
        ('reporting_currency = "USD"', 'reporting_currency = "EUR"', 'names "EUR", which currencies.toml'),
    ],
)
def test_a_currency_without_a_usable_worth_is_refused(old: str, new: str, expected: str) -> None:
    message = refusal("currencies.toml", old, new)

    assert message.startswith("currencies.toml: ")
    assert expected in message


@pytest.mark.parametrize("written", ["0", "-500", "86400001", "0.5", '"500"'])
def test_an_age_or_window_out_of_range_is_refused(written: str) -> None:
    assert refusal("watch.toml", "permit_ttl_ms = 500", f"permit_ttl_ms = {written}").startswith(
        "watch.toml: permit_ttl_ms must be "
    )


def test_a_snapshot_may_not_outlive_the_days_its_calendars_cover() -> None:
    message = refusal("watch.toml", "snapshot_validity_hours = 168", "snapshot_validity_hours = 697")

    assert message == "watch.toml: snapshot_validity_hours must be less than or equal to 696, found 697; correct it."


@pytest.mark.case("GATE-72")
def test_a_permit_must_die_before_the_reference_it_was_given_on() -> None:
    message = refusal("watch.toml", "permit_ttl_ms = 500", "permit_ttl_ms = 2000")

    assert message.splitlines()[0] == (
        "watch.toml: permit_ttl_ms 2000 must be below the reference_age_ms_max of every instrument, found 2000 for "
        '"BTC-PERP"; shorten the life of a permit.'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('fee_maker_bps = "-0.5"', "fee_maker_bps = -0.5"),
        ('fee_maker_bps = "-0.5"', 'fee_maker_bps = "-1000.1"'),
        ('fee_taker_bps = "5"', 'fee_taker_bps = "NaN"'),
        ('["BTC-PERP", "BTC-INVERSE", "ETH-PERP", "ETH-CALL"]', '["BTC-PERP", "BTC-PERP"]'),
        ('["SIM-CLEARING"]', "[]"),
        ('["SIM-CLEARING"]', '"SIM-CLEARING"'),
        ("[venues.SIM]", '[venues."two words"]'),
        ("[venues.SIM]", f"[venues.{'X' * 40}]"),
        ('description = "simulated venue"', 'description = ""'),
    ],
)
def test_a_venue_with_an_impossible_value_is_refused(old: str, new: str) -> None:
    message = refusal("venues.toml", old, new)

    assert message.startswith("venues.toml: venues.")
    assert message.endswith(".")


def test_a_table_where_a_number_belongs_is_refused_without_printing_it() -> None:
    message = refusal("watch.toml", "near_bps = 8000", "near_bps = { a = 1 }")

    assert message == "watch.toml: near_bps must be a whole number without quotes, found a table; correct it."


def test_a_long_wrong_value_is_shortened_in_the_sentence() -> None:
    message = refusal("watch.toml", "near_bps = 8000", f'near_bps = "{"9" * 500}"')

    assert len(message) < 200
    assert "...; correct it." in message
