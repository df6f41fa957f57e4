"""A wire between a browser and a server on this machine that a test can freeze, cut and mend."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 65_536
POLL_SECONDS = 0.05


class Wire:
    """Forwards bytes between its own port and a server's.

    `is_frozen` holds bytes back without a word, as a network does that went away; `cut` breaks every connection and
    refuses new ones until `mend`.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_SECONDS)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._is_over = False
        self._is_cut = False
        self.is_frozen = False
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break every connection; new ones are closed at once."""
        self._is_cut = True
        with self._lock:
            for pair in self._pairs:
                _close(pair)
            self._pairs.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = self.is_frozen = False

    def close(self) -> None:
        self._is_over = True
        self.cut()
        self._thread.join(timeout=5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over:
            with suppress(TimeoutError):
                mine, _ = self._listener.accept()
                if self._is_cut:
                    mine.close()
                    continue
                pair = (mine, socket.create_connection(("127.0.0.1", self._port)))
                with self._lock:
                    self._pairs.add(pair)
                threading.Thread(target=self._forward, args=(pair,), daemon=True).start()

    def _forward(self, pair: tuple[socket.socket, socket.socket]) -> None:
        other = {pair[0]: pair[1], pair[1]: pair[0]}
        with suppress(OSError, ValueError):
            while not self._is_over:
                ready, _, _ = select.select(list(pair), [], [], POLL_SECONDS)
                while self.is_frozen and not self._is_over:
                    select.select([], [], [], POLL_SECONDS)
                for end in ready:
                    received = end.recv(CHUNK_BYTES)
                    if not received:
                        raise OSError("one end has hung up")
                    other[end].sendall(received)
        _close(pair)
        with self._lock:
            self._pairs.discard(pair)


@contextmanager
def wire_to(url: str) -> Iterator[tuple[Wire, str]]:
    """A wire to the server at this address, and the address at its near end."""
    wire = Wire(int(url.rpartition(":")[2]))
    try:
        yield wire, f"http://127.0.0.1:{wire.port}"
    finally:
        wire.close()


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
