"""The eighteen steps of one child order."""

from controlplane.domain.decisions import DenialCode
from controlplane.domain.reports import ReportKind
from controlplane.supervision.projection import Book
from controlplane.supervision.steps import steps_of
from controlplane.supervision.trail import Step, StepState, Trail
from controlplane.supervision.units import Units
from tests.support.records import NAMES, PERPETUAL, Day


def steps(day: Day, child_id: str) -> tuple[Step, ...]:
    book = Book(routes=NAMES.route_names)
    for entry in day.entries:
        book.apply(entry)
    child = book.children[child_id]
    return steps_of(Trail(child, book.parents.get(child.parent_id), NAMES, day.now_ns))


def test_there_are_eighteen_numbered_steps_each_naming_where_it_happens() -> None:
    day = Day()
    child_id = day.child(day.parent())

    found = steps(day, child_id)

    assert [step.number for step in found] == list(range(1, 19))
    assert all(step.where.endswith(".py") or " " in step.where for step in found)
    assert all(step.where.split()[0].startswith(("executor/", "controlplane/")) for step in found)


def test_every_step_of_a_filled_order_is_done_or_keeps_nothing_by_design() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id, lots=100)
    day.advance(3)
    day.report(parent_id, child_id, ReportKind.ACKNOWLEDGED)
    day.report(parent_id, child_id, ReportKind.FILLED, lots=100, price=61_001, execution=1)
    day.finish(parent_id)

    found = steps(day, child_id)

    assert {step.number for step in found if step.state is StepState.NOT_KEPT} == {3, 13, 16}
    assert {
        step.number for step in found if step.state is not StepState.NOT_KEPT and step.state is not StepState.DONE
    } == set()
    assert dict(found[14].facts) == {"Became position": "1.00 ETH", "Released": "0.00 ETH"}


def test_times_of_the_steps_never_run_backwards() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id)
    day.advance(3)
    day.report(parent_id, child_id, ReportKind.ACKNOWLEDGED)

    # The market is seen before the strategy is asked, however old it was; it stands by its own time.
    moments = [step.at_ns for step in steps(day, child_id) if step.at_ns and step.number != 2]

    assert moments == sorted(moments)


def test_a_denied_order_ends_at_step_eight_with_every_failed_check_and_what_would_pass() -> None:
    day = Day()
    child_id = day.child(day.parent(), lots=90_000, denied=DenialCode.ORDER_QUANTITY_ABOVE_LIMIT, largest=25_000)

    found = steps(day, child_id)

    assert found[7].state is StepState.STOPPED
    facts = dict(found[7].facts)
    assert facts["Failed checks"] == "order quantity above limit"
    assert facts["Measured"] == "900.00 ETH"
    assert facts["Limit"] == "250.00 ETH"
    assert facts["Headroom"] == "-650.00 ETH"
    assert facts["Largest quantity that passes"] == "250.00 ETH"
    assert {step.state for step in found[10:15]} == {StepState.NOT_REACHED}
    assert "no permit" in found[10].note


def test_an_order_the_gate_never_saw_ends_at_step_seven() -> None:
    day = Day()
    parent_id, child_id = day.parent(), day.mint()
    about = {"parent_id": parent_id, "child_id": child_id, "request_id": child_id}
    day.write("ChildRequested", {**about, "quantity_lots": 10, "price_ticks": 5})
    day.write("ChildDenied", {**about, "sequence": "0", "codes": ["GATE_UNAVAILABLE"]})

    found = steps(day, child_id)

    assert found[6].state is StepState.STOPPED
    assert "never saw it" in found[6].note
    assert {step.state for step in found[7:15]} == {StepState.NOT_REACHED}


def test_a_refused_order_ends_at_step_twelve_with_the_reason() -> None:
    day = Day()
    parent_id = day.parent()
    child_id = day.child(parent_id)
    day.entries = [entry for entry in day.entries if entry.kind != "ChildSent"]
    day.write("ChildRefused", {"parent_id": parent_id, "child_id": child_id, "reason": "the fence has moved"})

    found = steps(day, child_id)

    assert found[11].state is StepState.STOPPED
    assert dict(found[11].facts)["Refused because"] == "the fence has moved"


def test_an_order_on_its_way_awaits_the_venue() -> None:
    day = Day()
    child_id = day.child(day.parent())

    found = steps(day, child_id)

    assert {step.number for step in found if step.state is StepState.AWAITED} == {14, 15, 16, 17}


def test_quantities_and_prices_are_written_in_the_instruments_units_exactly() -> None:
    units = NAMES.units(PERPETUAL)

    assert units.quantity(1_234_567) == "12,345.67 ETH"
    assert units.price(61_003) == "3,050.15 USD"
    assert units.average_price_number(61_003_500) == "3,050.1750"
    assert units.money(-1_234_567_891) == "-1,234.57 USD"
    assert Units().quantity(1_200) == "1,200 lots"
    assert Units().price(61_003) == "61,003 ticks"
