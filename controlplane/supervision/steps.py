"""The eighteen steps of one child order, from the block that was handed in to this page, each with what is kept of it.

The list is the walk of `docs/ARCHITECTURE.md`. A step that keeps nothing by design says so and is placed between its
neighbours; a step that was not reached says that too. Nothing is guessed.
"""

from collections.abc import Mapping

from controlplane.domain.decisions import DenialCode
from controlplane.domain.reports import ReportKind
from controlplane.gate.denials.sentences import SENTENCES
from controlplane.supervision.orders import ENDED, ChildState, Entry, Facts
from controlplane.supervision.projection import report_kind, text, whole
from controlplane.supervision.trail import Step, StepState, Trail
from controlplane.supervision.units import Units, in_unit, milliseconds


def steps_of(trail: Trail) -> tuple[Step, ...]:
    """The eighteen steps in order."""
    return (
        _accepted(trail),
        _market(trail),
        _state_updated(trail),
        _strategy(trail),
        _routed(trail),
        _requested(trail),
        _asked(trail),
        _evaluated(trail),
        _reserved(trail),
        _journaled(trail),
        _permitted(trail),
        _sent(trail),
        _on_the_wire(trail),
        _reported(trail),
        _settled(trail),
        _strategy_learnt(trail),
        _cost(trail),
        _shown(trail),
    )


def _accepted(trail: Trail) -> Step:
    step = ("Block order is accepted", "executor/intake/rest.py accept_parent")
    entry = trail.parent.accepted if trail.parent is not None else None
    if entry is None:
        return Step(1, *step, StepState.NOT_KEPT, note="The record of its parent has not been read here.")
    facts = _given(
        ("Handed in by", text(entry.facts, "entered_by")),
        ("Sender's reference", text(entry.facts, "reference")),
        ("Quantity", _lots(entry.facts, "quantity_lots", trail.units)),
    )
    return Step(1, *step, StepState.DONE, entry.wall_ns, facts, (entry.place,))


def _market(trail: Trail) -> Step:
    step = ("Market event is trusted or quarantined", "executor/marketdata/validate.py check_event")
    decision = trail.decision
    if decision is None:
        return Step(2, *step, StepState.NOT_KEPT, note="Quarantines alone are recorded; none concerns this order.")
    age_ns = whole(decision.facts, "reference_age_ns")
    bid, ask = whole(decision.facts, "reference_bid_ticks"), whole(decision.facts, "reference_ask_ticks")
    if not bid and not ask:
        return Step(2, *step, StepState.NOT_KEPT, note="The decision saw no reference price.")
    seen = f"{trail.units.price_number(bid)} / {trail.units.price(ask)}"
    facts = (("Bid / ask seen at the decision", seen), ("Age then", milliseconds(age_ns)))
    return Step(2, *step, StepState.DONE, decision.wall_ns - age_ns, facts, (decision.place,))


def _state_updated(trail: Trail) -> Step:
    note = "State is rebuilt from the record and kept nowhere else; it lies between steps 2 and 6."
    step = ("Loop updates its state and asks the strategy", "executor/engine/loop.py on_event")
    return Step(3, *step, _kept_nothing(trail), note=note)


def _strategy(trail: Trail) -> Step:
    step = ("Strategy decides what it wants", "executor/strategies/ decide")
    entry = trail.child.requested
    decision = trail.decision
    digest = text(decision.facts, "model_digest") if decision is not None else ""
    facts = _given(
        ("Strategy", trail.parent.route.get("strategy", "") if trail.parent is not None else ""),
        ("Model", trail.parent.route.get("model", "") if trail.parent is not None else ""),
        ("Model digest", digest if digest.strip("0") else "none: no learned model asked"),
        ("Why now", text(entry.facts, "reason") if entry is not None else ""),
        ("Urgency", text(entry.facts, "urgency") if entry is not None else ""),
    )
    if entry is None and decision is None:
        return Step(4, *step, StepState.AWAITED)
    return Step(4, *step, StepState.DONE, entry.wall_ns if entry is not None else 0, facts, _places(entry))


def _routed(trail: Trail) -> Step:
    child = trail.child
    step = ("Intent becomes this child: venue, price, order type", "executor/routing/router.py route")
    facts = _given(
        ("Instrument", child.instrument),
        ("Venue", child.venue),
        ("Side", child.side),
        ("Quantity", trail.units.quantity(child.quantity_lots) if child.quantity_lots else ""),
        ("Limit price", trail.units.price(child.price_ticks) if child.price_ticks else ""),
        ("Order type", " · ".join(word for word in (child.order_type, child.time_in_force) if word)),
    )
    state = StepState.DONE if facts else StepState.AWAITED
    return Step(5, *step, state, child.first_ns, facts, _places(child.requested))


def _requested(trail: Trail) -> Step:
    step = ("Child is recorded as in flight, before anybody is asked", "executor/engine/submit.py submit")
    entry = trail.child.requested
    if entry is None:
        state = StepState.NOT_KEPT if trail.decision is not None else StepState.AWAITED
        return Step(6, *step, state, note="The executor's own record of it has not been read here.")
    facts = _given(("Request", text(entry.facts, "request_id")), ("Child", trail.child.child_id))
    return Step(6, *step, StepState.DONE, entry.wall_ns, facts, (entry.place,))


def _asked(trail: Trail) -> Step:
    step = ("Gate is asked over the local socket", "controlplane/gate/client.py decide")
    decision, denied = trail.decision, trail.child.denied
    if decision is not None:
        sent_ns = trail.child.requested.wall_ns if trail.child.requested is not None else 0
        took = decision.wall_ns - sent_ns
        facts = _given(
            ("Request", text(decision.facts, "request_id")),
            ("From record to decision", milliseconds(took) if sent_ns and took >= 0 else ""),
        )
        return Step(7, *step, StepState.DONE, decision.wall_ns, facts)
    if denied is not None:
        note = "The gate never saw it; the executor answered in its place."
        facts = _denial_facts(denied.facts, trail.units)
        return Step(7, *step, StepState.STOPPED, denied.wall_ns, facts, (denied.place,), note)
    return Step(7, *step, StepState.AWAITED)


def _evaluated(trail: Trail) -> Step:
    step = ("Every check at every level", "controlplane/gate/kernel/decision.py decide")
    decision = trail.decision
    if decision is None:
        return Step(8, *step, _after(trail))
    if not trail.is_denied:
        facts = _given(
            ("Outcome", "allowed: no check failed"),
            ("Limits version", text(decision.facts, "snapshot_version")),
            ("Fence", text(decision.facts, "fence")),
        )
        return Step(8, *step, StepState.DONE, decision.wall_ns, facts, (decision.place,))
    note = "Denied. Nothing was reserved and nothing left the machine; the executor may ask again with a smaller order."
    facts = _denial_facts(decision.facts, trail.units)
    return Step(8, *step, StepState.STOPPED, decision.wall_ns, facts, (decision.place,), note)


def _reserved(trail: Trail) -> Step:
    step = ("Exposure is reserved at every level, before permission", "controlplane/gate/kernel/ledger.py reserve")
    decision = trail.decision
    if decision is None or trail.is_denied:
        return Step(9, *step, _after(trail))
    facts = _given(
        ("Reserved", _lots(decision.facts, "quantity_lots", trail.units)),
        ("Notional", _money(decision.facts, "notional_micro", trail.units)),
        ("Tightest headroom left", _bound(decision.facts, "headroom", trail.units)),
    )
    return Step(9, *step, StepState.DONE, decision.wall_ns, facts, (decision.place,))


def _journaled(trail: Trail) -> Step:
    step = ("Decision is written and made durable", "controlplane/journal/writer.py commit")
    decision = trail.decision
    if decision is None:
        return Step(10, *step, _after(trail))
    facts = _given(
        ("Record", decision.place),
        ("State before", text(decision.facts, "digest_before")),
        ("State after", text(decision.facts, "digest_after")),
    )
    return Step(10, *step, StepState.DONE, decision.wall_ns, facts, (decision.place,))


def _permitted(trail: Trail) -> Step:
    step = ("Permit for this order only", "controlplane/gate/kernel/frames.py issue_permit")
    decision = trail.decision
    if decision is None or trail.is_denied:
        note = "A denied order gets no permit." if trail.is_denied else ""
        return Step(11, *step, _after(trail), note=note)
    expiry_ns = whole(decision.facts, "permit_expiry_ns")
    facts = _given(
        ("Bound to record", decision.place),
        ("Valid for", milliseconds(expiry_ns - decision.wall_ns) if expiry_ns else ""),
        ("Void when the fence leaves", text(decision.facts, "fence")),
    )
    return Step(11, *step, StepState.DONE, decision.wall_ns, facts, (decision.place,))


def _sent(trail: Trail) -> Step:
    step = ("Permit is verified and spent, order leaves", "executor/venues/port.py send")
    child = trail.child
    if child.sent is not None:
        facts = _given(("Venue", child.venue), ("Decision spent", text(child.sent.facts, "sequence")))
        return Step(12, *step, StepState.DONE, child.sent.wall_ns, facts, (child.sent.place,))
    if child.refused is not None:
        facts = _given(("Refused because", text(child.refused.facts, "reason")))
        note = "The adapter would not send it: the proof was missing or no longer good."
        return Step(12, *step, StepState.STOPPED, child.refused.wall_ns, facts, (child.refused.place,), note)
    if child.last_report is not None:
        note = "Known from the reports that followed; its own record was not read here."
        return Step(12, *step, StepState.DONE, note=note)
    return Step(12, *step, _after(trail))


def _on_the_wire(trail: Trail) -> Step:
    step = ("Wire format of the venue", "executor/venues/simulated.py transmit")
    entry = trail.child.sent
    digest = text(entry.facts, "message_digest") or text(entry.facts, "raw_digest") if entry is not None else ""
    if digest and entry is not None:
        return Step(13, *step, StepState.DONE, entry.wall_ns, (("Digest of the message", digest),), (entry.place,))
    if not trail.has_left:
        return Step(13, *step, _after(trail))
    note = "This venue takes values, not bytes, so there is no message to keep."
    return Step(13, *step, StepState.NOT_KEPT, note=note)


def _reported(trail: Trail) -> Step:
    step = ("Venue answers: acknowledged, filled, cancelled or rejected", "executor/engine/reports.py apply_report")
    reports = trail.child.reports or trail.child.applied
    if not reports:
        return Step(14, *step, StepState.AWAITED if trail.has_left else _after(trail))
    facts = tuple((moment(entry, trail), report_line(entry.facts, trail.units)) for entry in reports[:20])
    note = f"{len(reports)} messages; the first 20 stand here, all of them below." if len(reports) > 20 else ""
    return Step(14, *step, StepState.DONE, reports[0].wall_ns, facts, _places(*reports[:4]), note)


def _settled(trail: Trail) -> Step:
    step = ("Fill becomes position, the rest is released", "controlplane/gate/kernel/settlement.py apply_report")
    applied = [entry for entry in trail.child.applied if report_kind(entry.facts) is not ReportKind.SENT]
    if not applied:
        return Step(15, *step, StepState.AWAITED if trail.has_left else _after(trail))
    child = trail.child
    left = max(0, child.quantity_lots - child.filled_lots)
    facts = (
        ("Became position", trail.units.quantity(child.filled_lots)),
        ("Released" if child.state in ENDED else "Still reserved", trail.units.quantity(left)),
    )
    return Step(15, *step, StepState.DONE, applied[-1].wall_ns, facts, _places(*applied[-3:]))


def _strategy_learnt(trail: Trail) -> Step:
    state = StepState.NOT_KEPT if trail.child.reports or trail.is_denied else StepState.AWAITED
    note = "Strategies remember nothing: they see the result in their next view." if state is StepState.NOT_KEPT else ""
    return Step(16, "Strategy sees the result", "executor/strategies/ decide", state, note=note)


def _cost(trail: Trail) -> Step:
    step = ("Shortfall of the block, in parts that add up", "executor/tca/components.py decompose")
    entry = trail.parent.tca if trail.parent is not None else None
    if entry is None:
        return Step(17, *step, StepState.AWAITED, note="Computed once the block has finished.")
    figures = entry.facts.get("figures")
    total = figures.get("total") if isinstance(figures, Mapping) else None
    amount = total if isinstance(total, Mapping) else {}
    facts = _given(
        ("Total of the block", f"{text(amount, 'currency')} {trail.units.currency}" if amount else ""),
        ("In basis points", text(amount, "bps")),
    )
    return Step(17, *step, StepState.DONE, entry.wall_ns, facts, (entry.place,))


def _shown(trail: Trail) -> Step:
    step = ("Shown here, under a permanent address", "controlplane/supervision/projection.py apply")
    facts = (("State", trail.child.state.value),)
    return Step(18, *step, StepState.DONE, trail.read_ns, facts)


def _kept_nothing(trail: Trail) -> StepState:
    return StepState.NOT_KEPT if trail.child.requested is not None or trail.decision is not None else StepState.AWAITED


def _after(trail: Trail) -> StepState:
    """How a step stands that the order has not come to: it never will when the order ended before."""
    has_ended = trail.child.state in (ChildState.DENIED, ChildState.REFUSED, ChildState.NOT_SENT)
    return StepState.NOT_REACHED if has_ended else StepState.AWAITED


def _denial_facts(facts: Facts, units: Units) -> tuple[tuple[str, str], ...]:
    failed = facts.get("failed_checks") or facts.get("codes")
    codes = [str(code) for code in failed] if isinstance(failed, list | tuple) else [text(facts, "code")]
    listed = ", ".join(code.replace("_", " ").lower() for code in codes)
    return _given(
        ("Failed checks", listed),
        ("Measured", _bound(facts, "measured", units)),
        ("Limit", _bound(facts, "limit", units)),
        ("Headroom", _bound(facts, "headroom", units)),
        ("Largest quantity that passes", _lots(facts, "largest_passing_lots", units)),
        ("Explanation", text(facts, "explanation")),
    )


def unit_of(facts: Facts) -> str:
    """The unit in which a decision's first failed check measures; `count` for checks without one."""
    code = text(facts, "code")
    return SENTENCES[DenialCode[code]][0] if code in DenialCode.__members__ else "count"


def _bound(facts: Facts, name: str, units: Units) -> str:
    if not any(whole(facts, number) for number in ("measured", "limit", "headroom")):
        return ""
    return in_unit(whole(facts, name), unit_of(facts), units)


def report_line(facts: Facts, units: Units) -> str:
    """What a venue said, in a few words."""
    kind = report_kind(facts)
    word = kind.name.lower().replace("_", " ") if kind is not None else "unknown message"
    if kind is ReportKind.FILLED:
        return f"{word} {units.quantity(whole(facts, 'quantity_lots'))} at {units.price(whole(facts, 'price_ticks'))}"
    reason = text(facts, "reason")
    return f"{word}: {reason}" if reason else word


def moment(entry: Entry, trail: Trail) -> str:
    """When a message came, counted from the moment the order left."""
    start_ns = trail.child.sent.wall_ns if trail.child.sent is not None else trail.child.first_ns
    return f"{'+' if entry.wall_ns >= start_ns else ''}{milliseconds(entry.wall_ns - start_ns)}"


def _given(*facts: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((label, value) for label, value in facts if value)


def _places(*entries: Entry | None) -> tuple[str, ...]:
    return tuple(entry.place for entry in entries if entry is not None)


def _lots(facts: Facts, name: str, units: Units) -> str:
    return units.quantity(whole(facts, name)) if facts.get(name) not in (None, "") else ""


def _money(facts: Facts, name: str, units: Units) -> str:
    return units.money(whole(facts, name)) if name in facts else ""
