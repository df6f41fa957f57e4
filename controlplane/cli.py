"""The command line's door: `kill` is answered here with the standard library alone, everything else by `commands.py`.

A stop must not wait for a library to load, and must work on a machine where one is broken.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controlplane.domain.errors import ControlPlaneError
from controlplane.gate.kill import Stop, count_orders, throw_switch
from controlplane.runtime.directories import state_directory
from controlplane.runtime.sockets import socket_directory

WAIT_SECONDS = 5.0
EXIT_DONE, EXIT_FAILED = 0, 1
# How far back the record is searched for the kill itself; a gate writes it within moments.
RECORDS_BACK = 20_000


def main() -> int:
    """The exit status of the command that the arguments name."""
    if sys.argv[1:2] == ["kill"]:
        return kill(sys.argv[2:])
    from controlplane.commands import run

    return run()


def kill(arguments: Sequence[str]) -> int:
    """Stop this machine: exit status 0 once nothing passes any more, whatever is still working at venues."""
    started = time.monotonic()
    asked = kill_options().parse_args(arguments)
    state = asked.state.expanduser().absolute() if asked.state is not None else state_directory()
    try:
        stop = throw_switch(state / "gate", reason=asked.reason, by=asked.by)
    except OSError as error:
        sys.stderr.write(
            f"Expected to throw the switch in {state / 'gate'}, found: {error.strerror or error}. A gate that finds no "
            f"valid switch stops by itself: remove {state / 'gate' / 'switch'}, or end the gate's process.\n"
        )
        return EXIT_FAILED
    seconds = time.monotonic() - started
    if not asked.json:
        say(blocked_lines(stop, state, seconds))
    count_orders(stop, socket_directory(state) / "gate.sock", seconds_max=asked.wait)
    endings = endings_since(stop, state / "journal") if stop.is_answering else {}
    if asked.json:
        say([json.dumps(document_of(stop, state, seconds, endings), sort_keys=True)])
    else:
        say(counted_lines(stop, endings))
    return EXIT_DONE


def kill_options() -> argparse.ArgumentParser:
    """The options of `kill`."""
    parser = argparse.ArgumentParser(
        prog="controlplane kill",
        description="Stop this machine: no order passes, working orders are cancelled. Lifting takes two people.",
    )
    parser.add_argument("--reason", default="stopped from a shell", help="why; one sentence for the record")
    parser.add_argument("--by", default=person(), help="who; the user of this shell when left out")
    parser.add_argument(
        "--state", type=Path, help="state directory of the machine's gate, where it isn't the usual one"
    )
    parser.add_argument(
        "--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for the end of working orders, once blocked"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def person() -> str:
    """The user of this shell."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def blocked_lines(stop: Stop, state: Path, seconds: float) -> list[str]:
    """What is said as soon as nothing passes any more."""
    moment = datetime.fromtimestamp(stop.change.wall_ns / 1e9, UTC)
    details = f"fence {stop.change.fence}, {1_000 * seconds:.0f} ms after the command"
    lines = [f"Blocked: no order passes on this machine since {moment:%H:%M:%S.%f} UTC ({details})."]
    if not stop.change.is_durable:
        lines.append("The disk did not confirm the switch: it holds now, but may not survive a power cut.")
    if stop.gate_process is None:
        lines.append(f"No gate runs on {state}; one that starts comes up killed.")
    return lines


def counted_lines(stop: Stop, endings: dict[str, int]) -> list[str]:
    """What became of the orders that were working."""
    if not stop.is_answering:
        return (
            [] if stop.gate_process is None else [f"The gate (process {stop.gate_process}) was woken. {stop.problem}"]
        )
    found = ", ".join(f"{count} {name}" for name, count in endings.items() if name != "denied")
    lines = [f"Working orders at the stop: {len(stop.working)}; since then {found or 'nothing ended'}."]
    if "denied" in endings:
        lines.append(f"Orders denied since the stop: {endings['denied']}.")
    if stop.still_working:
        lines.append(
            f"Still working: {len(stop.still_working)} ({', '.join(stop.still_working[:5])}); their cancels are not "
            "confirmed yet, so look at the executor and the venue."
        )
    return lines


def document_of(stop: Stop, state: Path, seconds: float, endings: dict[str, int]) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "is_blocked": True,
        "is_durable": stop.change.is_durable,
        "wall_ns": str(stop.change.wall_ns),
        "fence": stop.change.fence,
        "by": stop.change.by,
        "reason": stop.change.reason,
        "seconds_to_blocked": round(seconds, 6),
        "switch": str(state / "gate" / "switch"),
        "gate_process": stop.gate_process,
        "is_gate_answering": stop.is_answering,
        "working": len(stop.working),
        "still_working": stop.still_working,
        "endings": endings,
        "problem": stop.problem,
    }


def endings_since(stop: Stop, journal_directory: Path) -> dict[str, int]:
    """How many orders were denied and how many ended in which way since the kill, as the gate recorded it.

    Empty where the record can't be read now: the stop is in force all the same, and the record stays to be read later.
    """
    try:
        from controlplane.domain.decisions import DenialCode
        from controlplane.domain.reports import ReportKind
        from controlplane.journal.reader import scan
        from controlplane.journal.record import FLAG_JSON, RecordKind, decode_json, entry_words, unpack_head
    except ImportError:
        return {}
    names = {
        ReportKind.CANCELLED: "cancelled",
        ReportKind.FILLED: "filled",
        ReportKind.REJECTED: "rejected",
        ReportKind.EXPIRED: "expired",
    }
    found = {"denied": 0, "cancelled": 0}
    last_word: dict[int, str] = {}
    is_after = False
    try:
        for record in scan(journal_directory / "gate-0", from_seq=max(1, stop.records - RECORDS_BACK)):
            if record.flags & FLAG_JSON:
                facts = decode_json(record.entry)
                is_kill = facts["kind"] == RecordKind.MACHINE_KILLED.text
                is_after = is_after or (is_kill and facts.get("fence") == stop.change.fence)
                continue
            words = entry_words(record.entry)
            head = unpack_head(words[0])
            if not is_after:
                continue
            if head.kind == RecordKind.ORDER_DECIDED and head.code == DenialCode.GATE_KILLED:
                found["denied"] += 1
            elif head.kind == RecordKind.REPORT_APPLIED and head.subkind in names:
                last_word[words[4]] = names[ReportKind(head.subkind)]
    except ControlPlaneError:
        return {}
    still = {int(child, 16) for child in stop.still_working}
    for child, name in last_word.items():
        if child not in still:
            found[name] = found.get(name, 0) + 1
    return found


def say(lines: Sequence[str]) -> None:
    """Print at once."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
