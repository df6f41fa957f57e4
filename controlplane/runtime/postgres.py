"""A PostgreSQL 18 server of our own, started from the binaries of an installed wheel when nobody gives us a server.

Whose server it is, is never read from a process number, which the system may have given to another program since. Two
facts decide: a server is ours and ready when it answers on our private socket with our data directory; and no process
of an earlier server lives when the lock file that all of them inherit can be locked.

    directory/
      data/          the cluster; appears whole, by a rename, once initdb has finished
      start.lock     held while one program starts or stops the server
      server.lock    held, as an inherited open file, by every process of the server
      server.log     what the server printed
      socket/        private (0700); elsewhere when the path would be too long for a socket address
"""

import errno
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from controlplane.domain.errors import DatabaseUnavailable
from controlplane.runtime.postgres_programs import (
    ROLE,
    ProgramFailed,
    last_line,
    make_cluster,
    process_serves,
    server_command,
    server_environment,
)
from controlplane.runtime.sockets import make_private, socket_directory

DATABASE = "controlplane"
PORT = 5432  # names the socket file only; the server listens on no network address

START_SECONDS_MAX = 120.0  # crash recovery after a long run is the slow case
STOP_SECONDS_MAX = 30.0
ORPHAN_SECONDS_MAX = 60.0
POLL_SECONDS = 0.01

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # our statements are short; compiling them costs more than it saves
    "log_min_messages": "warning",
}
# For throw-away clusters in tests: a power cut may lose them.
VOLATILE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(slots=True)
class Cluster:
    """A server one can connect to; as a context manager it is stopped on the way out if this program started it."""

    dsn: str
    directory: Path | None  # None: somebody else's server, named by a connection string
    started_here: bool
    process: subprocess.Popen[bytes] | None = None

    def is_alive(self) -> bool:
        """Whether the server answers and, if it is one of ours, still serves our data directory."""
        if self.process is not None:
            self.process.poll()  # collects a server that died, so that it doesn't linger as a zombie
        if self.directory is None:
            return _answers(self.dsn)
        return _serves(self.directory)

    def stop(self) -> None:
        """Return once no process of the server lives; a server named by a connection string is left alone."""
        if self.directory is None:
            return
        with _locked(self.directory / "start.lock", START_SECONDS_MAX):
            _stop_server(self.directory)
            _leave_socket_directory(self.directory)
        if self.process is not None:
            self.process.wait(timeout=STOP_SECONDS_MAX)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.started_here:
            self.stop()


def start(directory: Path, *, dsn: str | None = None, is_volatile: bool = False) -> Cluster:
    """A running server for `directory`: started now, or joined when another program has it running already.

    Arguments
        directory    where the cluster is or shall be
        dsn          a server to use instead; then nothing is started
        is_volatile  give up durability for speed; for clusters that nobody will miss
    Errors
        DatabaseUnavailable with what is wrong and the way out
    """
    if dsn is not None:
        _require_reachable(dsn)
        return Cluster(dsn=dsn, directory=None, started_here=False)
    directory = directory.absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory / "start.lock", START_SECONDS_MAX):
            make_private(socket_directory(directory))
            return _start_or_join(directory, is_volatile)
    except OSError as error:
        raise DatabaseUnavailable(_cannot_write(directory, error)) from error


def words_of(error: psycopg.Error) -> str:
    """What the server or its client library said, on one line and without the question that the library adds."""
    words = " ".join(str(error).split())
    return words.split(" Is the server running")[0] or "no answer"


def _start_or_join(directory: Path, is_volatile: bool) -> Cluster:
    address = _address(directory, DATABASE)
    if _serves(directory):
        return Cluster(dsn=address, directory=directory, started_here=False)
    with _server_lock(directory) as lock_descriptor:
        if lock_descriptor is None:
            return Cluster(dsn=address, directory=directory, started_here=False)
        _make_cluster(directory)
        _remove_stale_files(directory)
        process = _launch(directory, lock_descriptor, is_volatile)
    _wait_until_ready(directory, process)
    _make_database(directory)
    return Cluster(dsn=address, directory=directory, started_here=True, process=process)


def _make_cluster(directory: Path) -> None:
    try:
        make_cluster(directory / "data")
    except ProgramFailed as error:
        raise DatabaseUnavailable(_explain(str(error), directory)) from error


def _remove_stale_files(directory: Path) -> None:
    """Remove what a killed server left; only called while the inherited lock proves that none of its processes lives.

    PostgreSQL itself looks whether the number in postmaster.pid belongs to any living process, and would refuse to
    start for ever after the system gave that number to another program.
    """
    pid_file = directory / "data" / "postmaster.pid"
    pid = _first_line_number(pid_file)
    if pid is not None and process_serves(pid, directory / "data"):
        raise DatabaseUnavailable(
            f"Expected no server on {directory / 'data'}, found process {pid} there, which this program did not start; "
            f"stop it with `kill -INT {pid}`, or set CONTROLPLANE_DSN to use it."
        )
    pid_file.unlink(missing_ok=True)
    for left in socket_directory(directory).glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def _launch(directory: Path, lock_descriptor: int, is_volatile: bool) -> subprocess.Popen[bytes]:
    settings = SERVER_SETTINGS | {"unix_socket_directories": str(socket_directory(directory))}
    if is_volatile:
        settings |= VOLATILE_SETTINGS
    command = server_command(directory / "data", settings)
    with (directory / "server.log").open("ab") as log:
        # A session of its own: an interrupt typed at a terminal must not stop the database before its clients.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=server_environment(),
            cwd=directory,
            pass_fds=(lock_descriptor,),
            start_new_session=True,
        )


def _wait_until_ready(directory: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if _serves(directory):
            return
        status = process.poll()
        if status is not None:
            said = last_line((directory / "server.log").read_text(encoding="utf-8", errors="replace"), "FATAL")
            raise DatabaseUnavailable(_explain(f"the server stopped with status {status}: {said}", directory))
        time.sleep(POLL_SECONDS)
    raise DatabaseUnavailable(
        f"Expected PostgreSQL to answer within {START_SECONDS_MAX:.0f} s, found it still starting; wait for its "
        f"recovery to end (see {directory / 'server.log'}) and start again."
    )


def _make_database(directory: Path) -> None:
    with psycopg.connect(_address(directory, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _stop_server(directory: Path) -> None:
    lock = _open_lock(directory / "server.lock")
    try:
        if _try_lock(lock):
            return
        # Every process of the server has been seen to hold the lock, so the number in its file is still its own.
        pid_file = directory / "data" / "postmaster.pid"
        for sent in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            pid = _first_line_number(pid_file)
            if pid is not None and process_serves(pid, directory / "data"):
                with suppress(ProcessLookupError):
                    os.kill(pid, sent)
            if _wait_for_lock(lock, STOP_SECONDS_MAX):
                return
    finally:
        os.close(lock)
    raise DatabaseUnavailable(
        f"Expected the PostgreSQL server on {directory / 'data'} to stop, found processes of it still running; end "
        "them by hand before starting again."
    )


def _leave_socket_directory(directory: Path) -> None:
    sockets = socket_directory(directory)
    if sockets.parent != directory:
        with suppress(OSError):  # not empty: somebody keeps something there
            sockets.rmdir()


@contextmanager
def _server_lock(directory: Path) -> Iterator[int | None]:
    """The lock that says no process of an earlier server lives, or None when a server of ours turned out to be ready.

    After a `kill -9` of the first server process the others notice within moments and leave; until then they hold
    shared memory and the lock, and starting beside them could damage the data.
    """
    lock = _open_lock(directory / "server.lock")
    try:
        deadline = time.monotonic() + ORPHAN_SECONDS_MAX
        while not _try_lock(lock):
            if _serves(directory):
                yield None
                return
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Expected no process of an earlier server on {directory / 'data'}, found some after waiting "
                    f"{ORPHAN_SECONDS_MAX:.0f} s; end the postgres processes of that folder, then start again."
                )
            time.sleep(POLL_SECONDS)
        yield lock
    finally:
        os.close(lock)


@contextmanager
def _locked(path: Path, seconds_max: float) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        if not _wait_for_lock(lock, seconds_max):
            raise DatabaseUnavailable(
                f"Expected {path} to be free, found another program starting or stopping the database for more than "
                f"{seconds_max:.0f} s; end that program and start again."
            )
        yield
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _wait_for_lock(descriptor: int, seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _address(directory: Path, database: str) -> str:
    host = quote(str(socket_directory(directory)), safe="")
    return f"postgresql://{ROLE}@/{database}?host={host}&port={PORT}"


def _serves(directory: Path) -> bool:
    """Whether a server answers on our socket and its data directory is ours."""
    if not (socket_directory(directory) / f".s.PGSQL.{PORT}").exists():
        return False
    try:
        with psycopg.connect(_address(directory, "postgres"), autocommit=True, connect_timeout=5) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        return row is not None and os.path.samefile(row[0], directory / "data")
    except (psycopg.OperationalError, FileNotFoundError):
        return False


def _answers(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() is not None
    except psycopg.Error:
        return False


def _require_reachable(dsn: str) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"Expected the server that CONTROLPLANE_DSN names to answer, found: {words_of(error)}; start it, correct "
            "the variable, or unset it to have a server started here."
        ) from error


def _first_line_number(path: Path) -> int | None:
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return None
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) > 1 else None


def _explain(what: str, directory: Path) -> str:
    if "No space left" in what:
        return f"No space is left for the database in {directory} ({what}); free some, then start again."
    return (
        f"Expected PostgreSQL to start in {directory}, found: {what}; see {directory / 'server.log'}, or set "
        "CONTROLPLANE_DSN to a server of your own."
    )


def _cannot_write(directory: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"No space is left for the database in {directory}; free some, then start again."
    return (
        f"Expected to be able to write in {directory}, found: {error.strerror} ({error.filename}); correct its "
        "permissions or choose another CONTROLPLANE_STATE_DIRECTORY."
    )
