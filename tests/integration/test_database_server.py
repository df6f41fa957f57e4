"""The launcher of our own PostgreSQL, against real processes: killed, joined, misled by stale files, run as anybody."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from controlplane.domain.errors import DatabaseUnavailable
from controlplane.runtime import postgres, postgres_programs
from controlplane.runtime.postgres import Cluster
from controlplane.runtime.sockets import socket_directory

AS_ROOT = os.getuid() == 0

pytestmark = pytest.mark.xdist_group("database_server")


@pytest.fixture(scope="module")
def made_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster with one table in it, to be copied: making one takes longer than every test below."""
    directory = tmp_path_factory.mktemp("made")
    with postgres.start(directory) as cluster, psycopg.connect(cluster.dsn) as connection:
        connection.execute("CREATE TABLE kept (number bigint)")
    return directory


@pytest.fixture
def directory(made_cluster: Path, tmp_path: Path) -> Iterator[Path]:
    """A stopped cluster of this test's own; whatever runs on it at the end is stopped."""
    copy = tmp_path / "server"
    shutil.copytree(made_cluster / "data", copy / "data")
    yield copy
    Cluster(dsn="", directory=copy, started_here=True).stop()


def postmaster_pid(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().split()[0])


def numbers_kept(cluster: Cluster) -> list[int]:
    with psycopg.connect(cluster.dsn) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number")]


def keep(cluster: Cluster, number: int) -> None:
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("INSERT INTO kept VALUES (%s)", (number,))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise TimeoutError(f"process {pid} is still there")


def test_first_start_makes_a_cluster_with_checksums_and_no_network_address(tmp_path: Path) -> None:
    with postgres.start(tmp_path / "server") as cluster, psycopg.connect(cluster.dsn) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("data_checksums", "listen_addresses", "server_version_num", "fsync", "data_directory")
        }
        addresses = connection.execute("SELECT inet_server_addr()").fetchone()

    assert shown.pop("server_version_num").startswith("18")
    assert shown == {
        "data_checksums": "on",
        "listen_addresses": "",
        "fsync": "on",
        "data_directory": str(tmp_path / "server" / "data"),
    }
    assert addresses == (None,)


def test_socket_folder_is_closed_to_other_users(directory: Path) -> None:
    with postgres.start(directory):
        mode = socket_directory(directory).stat().st_mode

    assert mode & 0o777 == 0o700


def test_second_program_joins_and_does_not_stop_what_it_did_not_start(directory: Path) -> None:
    with postgres.start(directory) as first:
        with postgres.start(directory) as second:
            keep(second, 1)

        assert (first.started_here, second.started_here) == (True, False)
        assert first.is_alive()
        assert numbers_kept(first) == [1]


def start_and_report(directory: Path, answers: "multiprocessing.Queue[tuple[bool, int]]") -> None:
    cluster = postgres.start(directory)
    answers.put((cluster.started_here, postmaster_pid(directory)))


def test_programs_that_start_together_end_up_on_one_server(directory: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    programs = [context.Process(target=start_and_report, args=(directory, answers)) for _ in range(3)]

    for program in programs:
        program.start()
    got = [answers.get(timeout=60) for _ in programs]
    for program in programs:
        program.join()

    assert sorted(started for started, _ in got) == [False, False, True]
    assert len({pid for _, pid in got}) == 1


def test_server_outlives_the_program_that_started_it_and_is_joined_by_the_next(directory: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER_THAT_WAITS, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "ready\n"
    starter.kill()
    starter.wait()

    cluster = postgres.start(directory)

    assert not cluster.started_here
    assert cluster.is_alive()


STARTER_THAT_WAITS = """
import sys, time
from pathlib import Path
from controlplane.runtime import postgres
cluster = postgres.start(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("victim", ["first process", "whole server"])
def test_killed_server_starts_again_with_everything_that_was_committed(directory: Path, victim: str) -> None:
    cluster = postgres.start(directory)
    keep(cluster, 7)
    pid = postmaster_pid(directory)
    # An idle client keeps a server process busy waiting, which is what lives on for a moment after its parent.
    with psycopg.connect(cluster.dsn):
        if victim == "whole server":
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)

        again = postgres.start(directory)

    assert again.started_here
    assert again.is_alive()
    assert numbers_kept(again) == [7]


def test_is_alive_tells_a_killed_server_from_a_running_one(directory: Path) -> None:
    cluster = postgres.start(directory)
    before = cluster.is_alive()

    os.kill(postmaster_pid(directory), signal.SIGKILL)
    wait_until_gone(cluster.process.pid if cluster.process else 0)

    assert before
    assert not cluster.is_alive()


@pytest.mark.parametrize("owner", ["nobody any more", "another living program", "a program of the same user"])
def test_stale_pid_file_does_not_keep_the_server_from_starting(directory: Path, owner: str) -> None:
    """PostgreSQL refuses to start for ever when the number in its file belongs to a living process by now."""
    cluster = postgres.start(directory)
    keep(cluster, 3)
    pid_file = directory / "data" / "postmaster.pid"
    socket_lock = socket_directory(directory) / ".s.PGSQL.5432.lock"
    text, socket_text = pid_file.read_text(), socket_lock.read_text()
    pid = postmaster_pid(directory)
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    wait_until_gone(pid)
    bystander = subprocess.Popen(["sleep", "60"])
    number = {"nobody any more": pid, "another living program": 1, "a program of the same user": bystander.pid}[owner]
    pid_file.write_text(text.replace(str(pid), str(number), 1))
    socket_lock.write_text(socket_text.replace(str(pid), str(number), 1))

    try:
        again = postgres.start(directory)

        assert numbers_kept(again) == [3]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_processes_left_of_a_killed_server_are_waited_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hasn't noticed its parent's end still holds shared memory; starting beside it is damage."""
    monkeypatch.setattr(postgres, "ORPHAN_SECONDS_MAX", 0.5)
    cluster = postgres.start(directory)
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        orphan = row[0]
        os.kill(orphan, signal.SIGSTOP)
        os.kill(postmaster_pid(directory), signal.SIGKILL)

        with pytest.raises(DatabaseUnavailable, match="no process of an earlier server"):
            postgres.start(directory)
        os.kill(orphan, signal.SIGCONT)
        wait_until_gone(orphan)
        again = postgres.start(directory)

    assert again.is_alive()


def test_server_that_somebody_else_runs_on_our_data_is_left_alone(directory: Path) -> None:
    own_socket = directory / "elsewhere"
    own_socket.mkdir(mode=0o700)
    command = postgres_programs.server_command(
        directory / "data", {"listen_addresses": "", "unix_socket_directories": str(own_socket)}
    )
    with (directory / "elsewhere.log").open("wb") as log:
        foreign = subprocess.Popen(command, stdout=log, stderr=log, env=postgres_programs.server_environment())
    deadline = time.monotonic() + 20
    while not (own_socket / ".s.PGSQL.5432").exists() and time.monotonic() < deadline:
        time.sleep(0.01)

    try:
        with pytest.raises(DatabaseUnavailable, match=f"kill -INT {foreign.pid}"):
            postgres.start(directory)

        assert foreign.poll() is None
    finally:
        foreign.send_signal(signal.SIGINT)
        foreign.wait(timeout=20)


def test_start_cut_short_before_the_cluster_was_whole_begins_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "server" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    with postgres.start(tmp_path / "server", is_volatile=True) as cluster:
        assert cluster.is_alive()
        assert not unfinished.exists()


def test_folder_with_a_path_too_long_for_a_socket_address_still_works(made_cluster: Path, tmp_path: Path) -> None:
    directory = tmp_path / ("a_long_name_" * 8) / "a folder with spaces & signs %41?" / "server"
    shutil.copytree(made_cluster / "data", directory / "data")
    elsewhere = socket_directory(directory)

    with postgres.start(directory) as cluster:
        assert numbers_kept(cluster) == []
        assert len(os.fsencode(elsewhere / ".s.PGSQL.5432.lock")) < 100

    assert not elsewhere.exists()


def test_damaged_cluster_is_one_sentence_that_names_the_log(directory: Path) -> None:
    (directory / "data" / "global" / "pg_control").write_bytes(b"")

    with pytest.raises(DatabaseUnavailable, match=r"found: the server stopped .*pg_control.*server\.log") as caught:
        postgres.start(directory)

    assert "\n" not in str(caught.value)


def test_given_server_is_used_and_none_is_started(directory: Path, tmp_path: Path) -> None:
    with postgres.start(directory) as theirs:
        with postgres.start(tmp_path / "unused", dsn=theirs.dsn) as cluster:
            keep(cluster, 9)

        assert not (tmp_path / "unused").exists()
        assert theirs.is_alive()
        assert numbers_kept(theirs) == [9]


def test_given_server_that_does_not_answer_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="CONTROLPLANE_DSN names to answer") as caught:
        postgres.start(tmp_path, dsn="postgresql://somebody:opensesame@127.0.0.1:9/nowhere")

    assert "opensesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DatabaseUnavailable, match=r"Expected to be able to write in .*CONTROLPLANE_STATE_DIRECTORY"):
        postgres.start(tmp_path / "file" / "server")


ONE_FULL_LIFE = """
import os, signal, sys
from pathlib import Path
from controlplane.runtime import postgres
assert os.getuid() == int(sys.argv[2]), os.getuid()
directory = Path(sys.argv[1])
with postgres.start(directory) as cluster:
    assert cluster.is_alive()
    os.kill(int((directory / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    cluster.process.wait()
    with postgres.start(directory) as again:
        assert again.started_here and again.is_alive()
print((directory / "data").stat().st_uid)
"""


def run_one_life(prefix: list[str], directory: Path, user: int) -> str:
    command = [*prefix, sys.executable, "-c", ONE_FULL_LIFE, str(directory), str(user)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user; as a normal user all tests here show it")
def test_normal_user_needs_no_namespace(tmp_path: Path) -> None:
    """The interpreter may lie in root's home, so the other user keeps the capability to pass file permissions."""
    tmp_path.chmod(0o755)
    (tmp_path / "own").mkdir()
    os.chown(tmp_path / "own", 65534, 65534)

    owner = run_one_life(list(postgres_programs.AS_NOBODY), tmp_path / "own" / "server", user=65534)

    assert owner == "65534"


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user; as a normal user all tests here show it")
def test_other_user_may_read_what_lies_in_a_folder_of_root_alone(tmp_path: Path) -> None:
    """A checkout in such a folder: PostgreSQL asks whether it may read its own program before it starts."""
    tmp_path.chmod(0o700)
    (tmp_path / "program").write_text("")
    asks = f"import os, sys; sys.exit(not os.access({str(tmp_path / 'program')!r}, os.R_OK))"

    done = subprocess.run([*postgres_programs.AS_NOBODY, sys.executable, "-c", asks], check=False)

    assert done.returncode == 0


# A user namespace in which everybody has the number they have outside, and in which no other namespace may be made.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
left_r, left_w = os.pipe()
mapped_r, mapped_w = os.pipe()
child = os.fork()
if child == 0:
    CLONE_NEWUSER = 0x10000000
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
        os._exit(1)
    os.write(left_w, b"1")
    os.read(mapped_r, 1)
    with open("/proc/sys/user/max_user_namespaces", "w") as limit:
        limit.write("0")
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(left_r, 1)
for kind in ("uid_map", "gid_map"):
    with open(f"/proc/{child}/{kind}", "w") as numbers:
        numbers.write("0 0 65536")
os.write(mapped_w, b"1")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not AS_ROOT, reason="a normal user needs no change of user to run PostgreSQL")
def test_root_without_user_namespaces_falls_back_to_another_user(tmp_path: Path, directory: Path) -> None:
    """Default profiles of containers forbid namespaces; data made under one rule is taken over under the other."""
    contained = [sys.executable, "-c", WITHOUT_NAMESPACES]
    if subprocess.run([*contained, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine doesn't allow a namespace in which namespaces are forbidden")

    owner_without = run_one_life(contained, directory, user=0)
    owner_with = run_one_life([], directory, user=0)

    assert (owner_without, owner_with) == ("65534", "0")
