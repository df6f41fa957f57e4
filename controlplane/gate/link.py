"""One connection to the gate process as its clients hold it: whole frames out, whole frames in, all in bounded time.

`GateControl` asks the control requests of the service and the shell: one connection a question, from any thread.
"""

import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from controlplane.domain.errors import GateUnavailable
from controlplane.gate import protocol
from controlplane.gate.protocol import ANSWER_BYTES_MAX, Frame, FrameBuffer, MessageType

READ_BYTES = 1 << 13  # holds a group of verdicts; more would be room that the system takes back each time
# With one processor nobody could answer while we look.
LOOKING_NS = 40_000 if (os.cpu_count() or 1) > 1 else 0
SKIPPED_MAX = 256
CONTROL_SECONDS_MAX = 5.0


class GateSilent(GateUnavailable):
    """The gate process is there and doesn't answer in time."""


class Patience:
    """Whether to look for what comes before going to sleep.

    To be woken costs more than a decision; but on a busy machine who looks takes the processor from the one that it
    waits for. So it is done while it pays: each time that nothing came in the moment, twice as many waits as before
    go by without a look.
    """

    def __init__(self) -> None:
        self._skipped, self._to_skip = 0, 1

    def look(self, events: Callable[[int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
        """Return what `events` found, asked again and again for a moment; it takes milliseconds to wait, here 0."""
        found = events(0)
        if found or LOOKING_NS == 0:
            return found
        if self._skipped > 0:
            self._skipped -= 1
            return found
        until = time.perf_counter_ns() + LOOKING_NS
        while not found and time.perf_counter_ns() < until:
            found = events(0)
        if found and time.perf_counter_ns() < until:
            self._to_skip = 1
        else:
            self._skipped = self._to_skip
            self._to_skip = min(2 * self._to_skip, SKIPPED_MAX)
        return found


class Link:
    """A connection; every wait ends after `seconds_max`. As a context manager it is opened and closed.

    Errors
        GateSilent when the time is over; GateUnavailable when nobody listens or the gate hung up
    """

    def __init__(self, path: Path, seconds_max: float) -> None:
        self._path = path
        self._seconds_max = seconds_max
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._poll, self._patience = select.poll(), Patience()
        self._buffer = FrameBuffer(ANSWER_BYTES_MAX)
        self._frames: deque[Frame] = deque()

    def open(self) -> None:
        """Connect."""
        self._socket.settimeout(self._seconds_max)
        try:
            self._socket.connect(str(self._path))
        except TimeoutError:
            raise GateSilent(self._sentence("it accepts no connection")) from None
        except OSError as error:
            raise GateUnavailable(self._sentence(error.strerror or str(error))) from None
        # From here on waiting is done by poll alone: changing a socket's timeout costs a system call each time.
        self._socket.setblocking(False)
        self._poll.register(self._socket, select.POLLIN)

    def send(self, frame: bytes) -> None:
        """Hand all bytes of a frame to the system."""
        rest: bytes | memoryview = frame
        deadline = 0.0
        while rest:
            try:
                sent = self._socket.send(rest)
                if sent == len(rest):
                    return
                rest = memoryview(rest)[sent:]
            except BlockingIOError:
                deadline = deadline or time.monotonic() + self._seconds_max
                self._wait_for_room(deadline)
            except OSError as error:
                raise GateUnavailable(self._sentence(error.strerror or str(error))) from None

    def receive(self, seconds_max: float | None = None) -> Frame:
        """Return the next frame; an ERROR is raised as what it carries."""
        seconds = self._seconds_max if seconds_max is None else seconds_max
        if not self._frames and self._patience.look(self._poll.poll):
            self._read()
        deadline = time.monotonic() + seconds if not self._frames else 0.0
        while not self._frames:
            if not self._poll.poll(max(0.0, 1_000 * (deadline - time.monotonic()))):
                raise GateSilent(self._sentence(f"no answer within {seconds:.3g} s"))
            self._read()
        frame = self._frames.popleft()
        if frame.type is MessageType.ERROR:
            raise protocol.error_of(protocol.parse_object(frame.body)) or GateUnavailable(self._sentence("an error"))
        return frame

    def arrived(self) -> list[Frame]:
        """Return the frames that are there, without waiting for any."""
        if self._poll.poll(0):
            self._read()
        return [self.receive() for _ in range(len(self._frames))]

    def is_over(self) -> bool:
        """Whether the other end has hung up, as far as the system knows without a wait."""
        found = self._poll.poll(0)
        return bool(found) and found[0][1] & (select.POLLHUP | select.POLLERR) != 0

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise GateUnavailable(self._sentence(error.strerror or str(error))) from None
        if not chunk:
            raise GateUnavailable(self._sentence("it hung up"))
        self._frames += self._buffer.feed(chunk)
        if self._buffer.fault is not None and not self._frames:
            raise GateUnavailable(self._sentence(str(self._buffer.fault)))

    def _wait_for_room(self, deadline: float) -> None:
        writable = select.poll()
        writable.register(self._socket, select.POLLOUT)
        if not writable.poll(max(0.0, 1_000 * (deadline - time.monotonic()))):
            raise GateSilent(self._sentence(f"it took nothing for {self._seconds_max:.3g} s"))

    def _sentence(self, found: str) -> str:
        return f"Expected the gate to answer at {self._path}, found: {found}; start it with `controlplane gate`."


class GateControl:
    """Control requests to the gate process of a socket; `control` may be called by any thread."""

    def __init__(self, socket_path: Path, *, seconds_max: float = CONTROL_SECONDS_MAX) -> None:
        self._socket_path = socket_path
        self._seconds_max = seconds_max

    def control(self, name: str, **fields: object) -> dict[str, Any]:
        """Return the gate's answer to one control request.

        Errors
            GateUnavailable when it is away or silent; whatever the gate itself raised, by its class
        """
        with Link(self._socket_path, self._seconds_max) as link:
            link.send(protocol.json_frame(MessageType.CONTROL, {"name": name, **fields}))
            while True:
                frame = link.receive()
                if frame.type is MessageType.CONTROL_ANSWER:
                    return checked_payload(frame)


def checked_payload(frame: Frame) -> dict[str, Any]:
    """Return the JSON object of an answer; the fault that it carries is raised by its class."""
    found = protocol.parse_object(frame.body)
    error = protocol.error_of(found)
    if error is not None:
        raise error
    return found


def peer_uid(connected: socket.socket) -> int:
    """Return the user at the other end, as the system knows it; our own where the system can't say, since the folder of
    the socket is closed to all others."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return os.getuid()
    _pid, uid, _gid = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)
