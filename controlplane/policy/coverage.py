"""Whether the rule book is whole: every name leads somewhere, and no order that could be asked for misses a limit.

A hole is never filled by a neighbouring or higher limit. It is a sentence here, and the whole rule book is refused.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.instruments import Contract
from controlplane.domain.quantities import PRICE_TICKS_CAP, QUANTITY_LOTS_CAP, to_units
from controlplane.domain.scopes import Route
from controlplane.policy.market import MINUTES_OF_A_DAY, NO_CURVE, AlwaysCalendar, FixedRate, Payoff
from controlplane.policy.problems import dotted
from controlplane.policy.reaction_coverage import breakers_named_twice, reaction_references
from controlplane.policy.schema import CounterpartyLine, InstrumentLine, Policies

FIRM_FILE = "limits/firm.toml"
DESKS_FILE = "limits/desks.toml"
STRATEGIES_FILE = "limits/strategies.toml"
COLLARS_FILE = "limits/collars.toml"
CURVES_FILE = "volume_curves.toml"

Lines = Mapping[str, InstrumentLine] | Mapping[str, CounterpartyLine]


def contradictions(policies: Policies) -> list[str]:
    """Return one sentence for every name that leads nowhere; when there is none, for every hole and contradiction."""
    dangling = [reference.sentence() for reference in _references(policies) if reference.name not in reference.known]
    if dangling:
        return dangling
    return [problem for check in _CHECKS for problem in check(policies)]


def reachable(policies: Policies) -> Iterator[Route]:
    """Yield every route that the allow lists of strategies and venues open, in order of its names."""
    for desk_name, desk in sorted(policies.desks.items()):
        for strategy_name in sorted(desk.strategies):
            strategy = policies.strategies[strategy_name]
            for model in sorted(strategy.models):
                for instrument, venue, counterparty in _places(policies, strategy_name):
                    yield Route(
                        desk=desk_name,
                        strategy=strategy_name,
                        model=model_scope_name(strategy_name, model),
                        instrument=instrument,
                        venue=venue,
                        counterparty=counterparty,
                    )


def model_scope_name(strategy: str, model: str) -> str:
    """Return the name of a model's own scope below one strategy, such as `crypto/twap/schedule`."""
    return f"{strategy}/{model}"


def _places(policies: Policies, strategy_name: str) -> Iterator[tuple[str, str, str]]:
    strategy = policies.strategies[strategy_name]
    for instrument in sorted(strategy.instruments):
        for venue_name in sorted(strategy.venues):
            venue = policies.venues[venue_name]
            if instrument in venue.instruments:
                for counterparty in sorted(venue.counterparties):
                    yield instrument, venue_name, counterparty


# --- names that lead nowhere


@dataclass(frozen=True, slots=True)
class _Reference:
    """A name used in one place that must be defined in another."""

    file: str
    key: str
    name: str
    known: Collection[str]
    defined_in: str

    def sentence(self) -> str:
        return (
            f'{self.file}: {self.key} names "{self.name}", which {self.defined_in} doesn\'t define; '
            "correct the name or define it there."
        )


def _references(policies: Policies) -> Iterator[_Reference]:
    yield from _market_references(policies)
    yield from _limit_references(policies)
    yield from _strategy_references(policies)
    yield from (_Reference(*one) for one in reaction_references(policies))


def _market_references(policies: Policies) -> Iterator[_Reference]:
    file = "instruments.toml"
    for name, instrument in policies.instruments.items():
        key = dotted(("instruments", name))
        yield _Reference(file, f"{key}.calendar", instrument.calendar, policies.calendars, "calendars.toml")
        yield _Reference(file, f"{key}.currency", instrument.currency, policies.currencies, "currencies.toml")
        settlement = instrument.settlement_currency
        yield _Reference(file, f"{key}.settlement_currency", settlement, policies.currencies, "currencies.toml")
        if instrument.volume_curve != NO_CURVE:
            curve = instrument.volume_curve
            yield _Reference(file, f"{key}.volume_curve", curve, policies.volume_curves, CURVES_FILE)
        if instrument.option is not None:
            underlying = instrument.option.underlying_instrument
            yield _Reference(file, f"{key}.option.underlying_instrument", underlying, policies.instruments, file)
    for name, chosen in policies.volume_curves.items():
        key = dotted(("volume_curves", name, "calendar"))
        yield _Reference(CURVES_FILE, key, chosen.calendar, policies.calendars, "calendars.toml")
    for name, venue in policies.venues.items():
        key = dotted(("venues", name))
        for listed in venue.instruments:
            yield _Reference("venues.toml", f"{key}.instruments", listed, policies.instruments, "instruments.toml")
        for other in venue.counterparties:
            yield _Reference("venues.toml", f"{key}.counterparties", other, policies.counterparties, "venues.toml")
    reporting = policies.reporting_currency
    yield _Reference("currencies.toml", "reporting_currency", reporting, policies.currencies, "currencies.toml")


def _limit_references(policies: Policies) -> Iterator[_Reference]:
    underlyings = {instrument.underlying for instrument in policies.instruments.values()}
    for name in policies.firm.restricted_instruments:
        yield _Reference(FIRM_FILE, "restricted_instruments", name, policies.instruments, "instruments.toml")
    tables: list[tuple[str, str, Collection[str], Collection[str], str]] = [
        (FIRM_FILE, "instruments", policies.firm.instruments, policies.instruments, "instruments.toml"),
        (FIRM_FILE, "underlyings", policies.firm.underlyings, underlyings, "instruments.toml"),
        (FIRM_FILE, "venues", policies.firm.venues, policies.venues, "venues.toml"),
        (FIRM_FILE, "counterparties", policies.firm.counterparties, policies.counterparties, "venues.toml"),
        (COLLARS_FILE, "instruments", policies.collars, policies.instruments, "instruments.toml"),
    ]
    for file, table, names, known, defined_in in tables:
        for name in names:
            yield _Reference(file, table, name, known, defined_in)
    for file, key, lines in _line_tables(policies):
        for name in lines:
            yield _Reference(file, key, name, policies.instruments, "instruments.toml")


def _strategy_references(policies: Policies) -> Iterator[_Reference]:
    for name, desk in policies.desks.items():
        for strategy_name in desk.strategies:
            key = dotted(("desks", name, "strategies"))
            yield _Reference(DESKS_FILE, key, strategy_name, policies.strategies, STRATEGIES_FILE)
    for name, strategy in policies.strategies.items():
        key = dotted(("strategies", name))
        sets, parent_sets = policies.limit_sets, policies.parent_limit_sets
        uses: list[tuple[str, str, Collection[str], str]] = [
            *(("instruments", listed, policies.instruments, "instruments.toml") for listed in strategy.instruments),
            *(("venues", venue, policies.venues, "venues.toml") for venue in strategy.venues),
            *(("models", model, policies.models, "governance.toml") for model in strategy.models),
            *((f"models.{model}", chosen, sets, "the table limit_sets") for model, chosen in strategy.models.items()),
            ("limits", strategy.limits, sets, "the table limit_sets"),
            ("parent_limits", strategy.parent_limits, parent_sets, "the table parent_limit_sets"),
        ]
        for where, used, known, defined_in in uses:
            yield _Reference(STRATEGIES_FILE, f"{key}.{where}", used, known, defined_in)


def _line_tables(policies: Policies) -> Iterator[tuple[str, str, Lines]]:
    """Yield every table of limits by instrument with the file and key it stands under."""
    yield FIRM_FILE, "firm.instruments", policies.firm.firm.instruments
    for name, venue in policies.firm.venues.items():
        yield FIRM_FILE, dotted(("venues", name, "instruments")), venue.instruments
    for name, counterparty in policies.firm.counterparties.items():
        yield FIRM_FILE, dotted(("counterparties", name, "instruments")), counterparty.instruments
    for name, desk in policies.desks.items():
        yield DESKS_FILE, dotted(("desks", name, "instruments")), desk.instruments
    for name, chosen in policies.limit_sets.items():
        yield STRATEGIES_FILE, dotted(("limit_sets", name, "instruments")), chosen.instruments


# --- holes


def _holes_by_name(policies: Policies) -> Iterator[str]:
    """Yield a sentence for each instrument, underlying, venue or counterparty that a table of limits leaves out."""
    firm = policies.firm
    underlyings = {instrument.underlying for instrument in policies.instruments.values()}
    tables: list[tuple[str, str, Collection[str], Collection[str], str]] = [
        (COLLARS_FILE, "instruments", policies.collars, policies.instruments, "price rules"),
        (FIRM_FILE, "instruments", firm.instruments, policies.instruments, "limits over all desks"),
        (FIRM_FILE, "underlyings", firm.underlyings, underlyings, "limits as an underlying"),
        (FIRM_FILE, "venues", firm.venues, policies.venues, "limits as a venue"),
        (FIRM_FILE, "counterparties", firm.counterparties, policies.counterparties, "limits as a counterparty"),
    ]
    for file, table, present, wanted, meaning in tables:
        for name in sorted(set(wanted) - set(present)):
            yield f'{file}: {dotted((table, name))} is missing, so "{name}" would have no {meaning}; add the table.'


def _holes_by_route(policies: Policies) -> Iterator[str]:
    """Yield a sentence for each scope on a reachable route that has no limits in the route's instrument."""
    seen: set[tuple[str, str]] = set()
    for route in reachable(policies):
        for file, key, lines in _lines_on(policies, route):
            if route.instrument not in lines and (key, route.instrument) not in seen:
                seen.add((key, route.instrument))
                yield (
                    f"{file}: {key}.{dotted((route.instrument,))} is missing, and a missing limit is not unlimited; "
                    "add the line (zeros permit nothing) or take the instrument from "
                    f"{dotted(('strategies', route.strategy))} in {STRATEGIES_FILE}."
                )


def _lines_on(policies: Policies, route: Route) -> Iterator[tuple[str, str, Lines]]:
    strategy = policies.strategies[route.strategy]
    model_set = strategy.models[route.model.removeprefix(f"{route.strategy}/")]
    wanted = {
        (FIRM_FILE, "firm.instruments"),
        (FIRM_FILE, dotted(("venues", route.venue, "instruments"))),
        (FIRM_FILE, dotted(("counterparties", route.counterparty, "instruments"))),
        (DESKS_FILE, dotted(("desks", route.desk, "instruments"))),
        (STRATEGIES_FILE, dotted(("limit_sets", strategy.limits, "instruments"))),
        (STRATEGIES_FILE, dotted(("limit_sets", model_set, "instruments"))),
    }
    return (table for table in _line_tables(policies) if table[:2] in wanted)


# --- contradictions between values


def _strategy_placement(policies: Policies) -> Iterator[str]:
    desks_of: dict[str, list[str]] = {name: [] for name in policies.strategies}
    for desk_name, desk in policies.desks.items():
        for strategy_name in desk.strategies:
            desks_of[strategy_name].append(desk_name)
    for name, desks in desks_of.items():
        if len(desks) != 1:
            found = "none does" if not desks else f"{' and '.join(sorted(desks))} do"
            yield f'{DESKS_FILE}: exactly one desk must list the strategy "{name}", {found}; correct the lists.'
        elif name.split("/")[:-1] != [desks[0]]:
            yield f'{STRATEGIES_FILE}: the strategy "{name}" must be named {desks[0]}/ and one word; rename it.'
    for model in policies.models:
        if "/" in model:
            yield f'governance.toml: the model "{model}" must have no / in its name; rename it.'


def _strategy_markets(policies: Policies) -> Iterator[str]:
    for name, strategy in policies.strategies.items():
        listed = {instrument for venue in strategy.venues for instrument in policies.venues[venue].instruments}
        for instrument in sorted(set(strategy.instruments) - listed):
            yield (
                f'{STRATEGIES_FILE}: {dotted(("strategies", name))} may trade "{instrument}", which none of its '
                "venues lists; add a venue or take the instrument out."
            )


def _unused_sets(policies: Policies) -> Iterator[str]:
    strategies = policies.strategies.values()
    used = {chosen for strategy in strategies for chosen in (strategy.limits, *strategy.models.values())}
    used_by_parents = {strategy.parent_limits for strategy in strategies}
    tables: list[tuple[str, Collection[str], set[str]]] = [
        ("limit_sets", policies.limit_sets, used),
        ("parent_limit_sets", policies.parent_limit_sets, used_by_parents),
    ]
    for table, names, users in tables:
        for name in sorted(set(names) - users):
            yield f"{STRATEGIES_FILE}: {dotted((table, name))} binds no strategy; use it or remove it."


def _option_terms(policies: Policies) -> Iterator[str]:
    for name, instrument in policies.instruments.items():
        collar = policies.collars.get(name)
        is_option = instrument.option is not None
        key = dotted(("instruments", name))
        if collar is not None and (collar.option_stress_bps is not None) != is_option:
            wanted = "needs" if is_option else "must not have"
            yield f"{COLLARS_FILE}: {key} {wanted} option_stress_bps, which is for options; correct it."
        if instrument.option is not None:
            underlying = policies.instruments[instrument.option.underlying_instrument]
            is_usable = (
                underlying.contract is not Contract.OPTION
                and underlying.payoff is Payoff.LINEAR
                and underlying.underlying == instrument.underlying
                and underlying.currency == instrument.settlement_currency
            )
            if not is_usable:
                yield (
                    f"instruments.toml: {key}.option.underlying_instrument must be a linear instrument on "
                    f"{instrument.underlying}, quoted in {instrument.settlement_currency} and no option itself; "
                    "name another."
                )


def _volume_curves(policies: Policies) -> Iterator[str]:
    """Yield a sentence for each curve that doesn't cover its sessions, and for each used under another calendar."""
    for name, curve in policies.volume_curves.items():
        key = dotted(("volume_curves", name))
        lengths = _session_minutes(policies, curve.calendar)
        if any(minutes % curve.bin_minutes for minutes in lengths):
            yield (
                f"{CURVES_FILE}: {key}.bin_minutes must divide every session of {curve.calendar} into whole bins, "
                f"found {curve.bin_minutes} for sessions of {', '.join(map(str, lengths))} minutes; choose another."
            )
        elif len(curve.weights) * curve.bin_minutes != sum(lengths):
            yield (
                f"{CURVES_FILE}: {key}.weights must cover the {sum(lengths)} minutes of a day of {curve.calendar} with "
                f"{sum(lengths) // curve.bin_minutes} bins of {curve.bin_minutes} minutes, found {len(curve.weights)}; "
                "write one weight a bin."
            )
    for name, instrument in policies.instruments.items():
        chosen = policies.volume_curves.get(instrument.volume_curve)
        if chosen is not None and chosen.calendar != instrument.calendar:
            yield (
                f"instruments.toml: {dotted(('instruments', name))}.volume_curve must be a curve of the calendar "
                f"{instrument.calendar}, found {instrument.volume_curve} of {chosen.calendar}; name another or "
                f'"{NO_CURVE}".'
            )


def _session_minutes(policies: Policies, calendar_name: str) -> list[int]:
    """Return the length of each session of a whole day in minutes of local time."""
    calendar = policies.calendars[calendar_name]
    if isinstance(calendar, AlwaysCalendar):
        return [MINUTES_OF_A_DAY]
    return [hours.minutes for hours in calendar.sessions]


def _reporting_currency(policies: Policies) -> Iterator[str]:
    rate = policies.currencies[policies.reporting_currency]
    if not isinstance(rate, FixedRate) or rate.rate != 1:
        key = dotted(("currencies", policies.reporting_currency))
        yield f'currencies.toml: {key} is the reporting currency and must be fixed at rate "1"; correct it.'


def _permit_life(policies: Policies) -> Iterator[str]:
    """A permit must die before the reference that it was given on is stale (GATE case 72)."""
    for name, collar in policies.collars.items():
        if policies.watch.permit_ttl_ms >= collar.reference_age_ms_max:
            yield (
                f"watch.toml: permit_ttl_ms {policies.watch.permit_ttl_ms} must be below the reference_age_ms_max of "
                f'every instrument, found {collar.reference_age_ms_max} for "{name}"; shorten the life of a permit.'
            )


def _countable(policies: Policies) -> Iterator[str]:
    """Yield a sentence for each quantity or price that lies beyond what the gate counts in lots and ticks."""
    for file, key, lines in _line_tables(policies):
        for name, line in lines.items():
            for limit in ("order_quantity_max", "position_long_max", "position_short_max"):
                if _lots(policies, name, getattr(line, limit)) > QUANTITY_LOTS_CAP:
                    where = f"{key}.{dotted((name, limit))}"
                    yield f"{file}: {where} is more than {QUANTITY_LOTS_CAP} lots; write a smaller limit."
    for name, collar in policies.collars.items():
        if _lots(policies, name, collar.participation_floor) > QUANTITY_LOTS_CAP:
            key = dotted(("instruments", name, "participation_floor"))
            yield f"{COLLARS_FILE}: {key} is more than {QUANTITY_LOTS_CAP} lots; write a smaller floor."
        if collar.static_reference is not None:
            key = dotted(("instruments", name, "static_reference"))
            try:
                to_units(collar.static_reference, policies.instruments[name].tick_size, field=key, cap=PRICE_TICKS_CAP)
            except InvalidRequest as error:
                yield f"{COLLARS_FILE}: {error}"


def _lots(policies: Policies, instrument: str, quantity: Decimal) -> Decimal:
    return quantity / policies.instruments[instrument].lot_size


_CHECKS: tuple[Callable[[Policies], Iterator[str]], ...] = (
    _holes_by_name,
    _strategy_placement,
    _strategy_markets,
    _unused_sets,
    _option_terms,
    _volume_curves,
    breakers_named_twice,
    _reporting_currency,
    _permit_life,
    _countable,
    _holes_by_route,
)
