"""The compiled gate and its judge answer every command of generated streams with the same 32 words, bit for bit.

A stream comes from one number, which every failure names together with the step; `GATE_AGREEMENT_COMMANDS` sets the
length of the long run (`pytest -m slow`).
"""

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.gate.kernel import arrays as a
from controlplane.gate.snapshot import Snapshot
from controlplane.journal.record import WORDS, failed_codes
from tests.support.gate_breakers import with_breakers
from tests.support.gate_commands import Stream
from tests.support.gate_machines import SMALL, Command, CompiledMachine, Machine, ReferenceMachine, Reply
from tests.support.gate_universes import SECOND_NS, START_NS, TINY, USUAL, WIDE, universe

STREAM_COMMANDS = 2_500
SEEDS = range(60)
GROUPS = 8
ROOMY = a.Capacity(orders=512, parents=128, requests=1024, executions=1024)


def world(seed: int) -> tuple[Snapshot, a.Capacity]:
    """Return the limits and the capacity of a stream: tiny, usual and boundless limits, small and roomy tables."""
    changes: dict[str, object] = {}
    if seed % 10 == 7:
        changes["expires_ns"] = START_NS + 4 * SECOND_NS
    if seed % 10 == 3:
        changes["is_phase_required"] = False
    snapshot = universe(seed, (TINY, USUAL, WIDE, USUAL)[seed % 4], **changes)
    if seed % 3 == 2:
        snapshot = with_breakers(snapshot, seed)
    return snapshot, ROOMY if seed % 5 == 2 else SMALL


def difference(seed: int, commands: int) -> str:
    """Return the first difference between the two on a stream, in words; empty when there is none."""
    snapshot, capacity = world(seed)
    compiled, judge = CompiledMachine(snapshot, capacity), ReferenceMachine(snapshot, capacity)
    stream = Stream(seed, snapshot)
    for step in range(commands):
        command = stream.next()
        try:
            found, expected = compiled.apply(command), judge.apply(command)
        except BaseException as error:
            error.add_note(f"seed {seed}, step {step}: {command}")
            raise
        if found != expected:
            return told(seed, step, command, found, expected)
        stream.saw(command, found)
    return ""


def told(seed: int, step: int, command: Command, found: Reply, expected: Reply) -> str:
    """Return what differs, one line each."""
    lines = [f"seed {seed}, step {step}: {command}"]
    lines += [
        f"{word.name}: compiled {one}, judge {other}"
        for word, one, other in zip(WORDS, found.words, expected.words, strict=True)
        if one != other
    ]
    lines.append(f"codes: compiled {failed_codes(found.words)}, judge {failed_codes(expected.words)}")
    lines += [
        f"{name}: compiled {getattr(found, name)!r}, judge {getattr(expected, name)!r}"
        for name in ("is_repeated", "sequence", "code")
        if getattr(found, name) != getattr(expected, name)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("group", range(GROUPS))
def test_both_gates_answer_generated_streams_with_the_same_bits(group: int) -> None:
    seeds = [seed for seed in SEEDS if seed % GROUPS == group]

    differences = [found for seed in seeds if (found := difference(seed, STREAM_COMMANDS))]

    assert not differences, "\n\n".join(differences)


@pytest.mark.slow
def test_both_gates_answer_ten_million_commands_with_the_same_bits() -> None:
    wanted = int(os.environ.get("GATE_AGREEMENT_COMMANDS", "10000000"))
    first = int(os.environ.get("GATE_AGREEMENT_SEED", "1000"))
    print(f"seeds from {first} on, {wanted} commands")

    for number in count():
        if number * STREAM_COMMANDS >= wanted:
            break
        found = difference(first + number, STREAM_COMMANDS)
        assert not found, found


def codes_given(machine: Machine, stream: Stream, commands: int) -> Iterator[DenialCode]:
    """Yield the code of every failed check of every order of a stream."""
    for _ in range(commands):
        command = stream.next()
        reply = machine.apply(command)
        stream.saw(command, reply)
        if command.words[0] & 0xFF == 1:
            yield from failed_codes(reply.words)


def test_generated_streams_bring_about_every_code_that_the_gate_can_give(repository: Path) -> None:
    sources = (repository / "controlplane" / "gate" / "kernel").rglob("*.py")
    can_give = {DenialCode[name] for source in sources for name in re.findall(r"\bCode\.([A-Z_]+)", source.read_text())}

    given: set[DenialCode] = set()
    for seed in SEEDS:
        snapshot, capacity = world(seed)
        given |= set(codes_given(CompiledMachine(snapshot, capacity), Stream(seed, snapshot), STREAM_COMMANDS))

    assert given == can_give
    assert set(DenialCode) - can_give == {DenialCode.GATE_UNAVAILABLE, DenialCode.JOURNAL_UNAVAILABLE}


def test_generated_streams_allow_a_fair_share_of_what_they_ask() -> None:
    snapshot, capacity = world(1)
    machine, stream = CompiledMachine(snapshot, capacity), Stream(1, snapshot)
    outcomes = {1: 0, 2: 0}

    for _ in range(STREAM_COMMANDS):
        command = stream.next()
        reply = machine.apply(command)
        stream.saw(command, reply)
        if command.words[0] & 0xFFFF == 0x0101:
            outcomes[reply.outcome] += 1

    assert outcomes[1] > 100
    assert outcomes[2] > 100


def test_a_judge_with_one_wrong_sign_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.gate.plain.sizes.lots_within", lambda *_, **__: 1)

    found = difference(1, 200)

    assert re.match(r"seed 1, step \d+: Command", found)
    assert "largest_passing_lots: compiled" in found
