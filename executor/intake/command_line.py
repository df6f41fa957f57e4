"""Parent orders handed over by file: from a shell, or from the web door, to the executor that runs.

An order is one file in the inbox, whole or not there at all. The executor takes it, and leaves an answer under the same
name. The file goes only after the order is in the journal, so an order is never lost between two starts, and one that
was taken just before a crash is recognised by its reference.
"""

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain import errors
from controlplane.domain.errors import ControlPlaneError, InvalidRequest, StateConflict, VenueUnavailable
from executor.intake.rest import BODY_BYTES_MAX, parse_body, reference_of

FILES_WAITING_MAX = 1_000
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class HandedIn:
    """One order as it lies in the inbox: its reference and its raw bytes."""

    reference: str
    body: bytes


class Inbox:
    """The two folders of the hand-over, orders and answers.

    Arguments
        directory  of the executor's state; the folders are made when missing, closed to other users
    """

    def __init__(self, directory: Path) -> None:
        self._orders = directory / "inbox"
        self._answers = directory / "answers"
        for folder in (directory, self._orders, self._answers):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, fields: Mapping[str, object]) -> str:
        """Return the reference of an order that now lies in the inbox; one without a reference gets one.

        Errors
            InvalidRequest when the reference is malformed
            StateConflict  when an order with that reference is waiting, or too many are
        """
        reference = reference_of(fields) or f"order-{secrets.token_hex(8)}"
        target = self._orders / f"{reference}.json"
        if target.exists() or len(os.listdir(self._orders)) >= FILES_WAITING_MAX:
            raise StateConflict(
                f"Expected room for the order {reference} in {self._orders}, found it there or the folder full; "
                "wait until the executor has taken what lies there."
            )
        (self._answers / target.name).unlink(missing_ok=True)
        _write(target, {**fields, "reference": reference})
        return reference

    def take(self) -> list[HandedIn]:
        """Return what lies in the inbox, oldest first; it stays there until `answer`."""
        waiting = []
        for path in self._orders.glob("*.json"):
            try:
                stated = path.stat()
                waiting.append((stated.st_mtime_ns, path))
            except FileNotFoundError:
                continue
        found = []
        for _, path in sorted(waiting):
            try:
                with path.open("rb") as opened:
                    found.append(HandedIn(path.stem, opened.read(BODY_BYTES_MAX + 1)))
            except FileNotFoundError:
                continue
        return found

    def answer(self, reference: str, outcome: Mapping[str, object]) -> None:
        """Leave the answer and take the order out of the inbox."""
        _write(self._answers / f"{reference}.json", outcome)
        (self._orders / f"{reference}.json").unlink(missing_ok=True)

    def refuse(self, reference: str, error: ControlPlaneError) -> None:
        """Leave the reason why an order wasn't taken."""
        self.answer(reference, {"error": {"type": type(error).__name__, "message": str(error)}})

    def wait(self, reference: str, seconds_max: float) -> dict[str, object]:
        """Return the executor's answer.

        Errors
            whatever the executor raised, by its class
            VenueUnavailable when nobody took the order in time; it was withdrawn and will not be worked
        """
        answer = self._answers / f"{reference}.json"
        deadline = time.monotonic() + seconds_max
        while not answer.exists():
            if time.monotonic() >= deadline:
                self._withdraw(reference, seconds_max)
                break
            time.sleep(POLL_SECONDS)
        outcome = json.loads(answer.read_bytes())
        if "error" in outcome:
            raise _error_of(outcome["error"])
        return dict(outcome)

    def _withdraw(self, reference: str, seconds_max: float) -> None:
        """Take an unanswered order back; when it is gone already the answer is there."""
        try:
            (self._orders / f"{reference}.json").unlink()
        except FileNotFoundError:
            if (self._answers / f"{reference}.json").exists():
                return
        raise VenueUnavailable(
            f"No executor took the order within {seconds_max:g} s and it was withdrawn; "
            "start `executor run` and submit it again."
        )


def read_order(path: str, standard_input: bytes | None = None) -> dict[str, object]:
    """Return the fields of an order in a file.

    Arguments
        standard_input  what to read when the path is a dash
    Errors
        InvalidRequest when the file can't be read or isn't a parent order's JSON
    """
    if path == "-" and standard_input is not None:
        return parse_body(standard_input)
    try:
        with Path(path).open("rb") as opened:
            return parse_body(opened.read(BODY_BYTES_MAX + 1))
    except OSError as error:
        raise InvalidRequest(
            f"The order file {path} can't be read: {error.strerror}; name another.", field="file"
        ) from None


def _write(target: Path, fields: Mapping[str, object]) -> None:
    """Put a file there whole: written beside, flushed, renamed."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with draft.open("w", encoding="utf-8") as opened:
        json.dump(fields, opened, default=str)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(target)


def _error_of(found: Mapping[str, object]) -> ControlPlaneError:
    kind = getattr(errors, str(found.get("type")), None)
    message = str(found.get("message"))
    if isinstance(kind, type) and issubclass(kind, ControlPlaneError):
        return kind(message)
    return InvalidRequest(message)
