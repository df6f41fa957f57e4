"""The switch: armed only when a whole, marked file says so; a kill is seen by everyone who mapped it."""

import os
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controlplane.domain.errors import StateConflict
from controlplane.gate.switch import FILE_BYTES, MAGIC, Switch


def words_on_disk(directory: Path) -> tuple[int, ...]:
    return struct.unpack("<5q", (directory / "switch").read_bytes()[:40])


def write_file(directory: Path, *words: int, length: int = FILE_BYTES) -> None:
    content = struct.pack(f"<{len(words)}q", *words)
    (directory / "switch").write_bytes(content.ljust(length, b"\0")[:length])


def first_switch(directory: Path) -> Switch:
    return Switch.start(directory, is_first_start=True)


def test_first_start_of_a_machine_makes_an_armed_switch_that_only_its_user_can_touch(tmp_path: Path) -> None:
    switch = first_switch(tmp_path / "gate")

    assert switch.is_armed()
    assert switch.fence() == 1
    assert stat.S_IMODE((tmp_path / "gate" / "switch").stat().st_mode) == 0o600
    assert (tmp_path / "gate" / "switch").stat().st_size == FILE_BYTES


def test_layout_on_disk_is_the_published_one(tmp_path: Path) -> None:
    switch = first_switch(tmp_path)
    change = switch.kill(reason="drill", by="olga")

    assert words_on_disk(tmp_path) == (0x4350_5357_4954_4348, 2, 2, change.wall_ns, 1)
    assert (tmp_path / "switch").read_bytes()[64:].rstrip(b"\0") == b'{"by": "olga", "reason": "drill"}'


def test_every_start_of_the_gate_moves_the_fence_on(tmp_path: Path) -> None:
    first_switch(tmp_path).close()

    again = Switch.start(tmp_path, is_first_start=False)

    assert again.is_armed()
    assert again.fence() == 2


def test_kill_is_seen_by_everyone_who_mapped_the_switch(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)
    adapter = Switch.open(tmp_path)
    assert adapter.is_armed()

    with Switch.open(tmp_path) as shell:
        change = shell.kill(reason="runaway strategy", by="risk desk")

    assert not gate.is_armed()
    assert not adapter.is_armed()
    assert gate.fence() == adapter.fence() == change.fence == 2
    assert change.is_durable
    assert (gate.last_change().by, gate.last_change().reason) == ("risk desk", "runaway strategy")


def test_a_second_kill_moves_the_fence_again(tmp_path: Path) -> None:
    switch = first_switch(tmp_path)

    switch.kill(reason="one", by="a")
    switch.kill(reason="two", by="b")

    assert switch.fence() == 3
    assert not switch.is_armed()


@pytest.mark.case("GATE-88")
def test_restart_while_killed_comes_up_killed(tmp_path: Path) -> None:
    first_switch(tmp_path).kill(reason="stop", by="a")

    again = Switch.start(tmp_path, is_first_start=False)

    assert not again.is_armed()
    assert again.fence() == 3


@pytest.mark.case("EVIDENCE-63")
def test_missing_switch_on_a_machine_with_a_record_is_killed_with_its_fence_above_every_recorded_one(
    tmp_path: Path,
) -> None:
    switch = Switch.start(tmp_path, is_first_start=False, fence_min=41)

    assert not switch.is_armed()
    assert switch.fence() == 42
    assert "no valid switch file" in switch.last_change().reason


@pytest.mark.parametrize("is_first_start", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        b"\0" * FILE_BYTES,
        struct.pack("<3q", MAGIC + 1, 1, 5).ljust(FILE_BYTES, b"\0"),
        b"\xff" * (2 * FILE_BYTES),
    ],
    ids=["empty", "short", "zeros", "wrong mark", "too long"],
)
def test_damaged_switch_is_killed_even_at_the_first_start(tmp_path: Path, content: bytes, is_first_start: bool) -> None:
    (tmp_path / "switch").write_bytes(content)
    assert not Switch.open(tmp_path).is_armed()

    switch = Switch.start(tmp_path, is_first_start=is_first_start)

    assert not switch.is_armed()


@pytest.mark.parametrize("state", [0, 2, -1, 257, 1 << 32, 1 << 56])
def test_every_state_but_one_is_killed(tmp_path: Path, state: int) -> None:
    write_file(tmp_path, MAGIC, state, 5, 0, 0)

    assert not Switch.open(tmp_path).is_armed()


def test_switch_that_was_missing_is_found_once_a_gate_has_made_it(tmp_path: Path) -> None:
    adapter = Switch.open(tmp_path)
    assert (adapter.is_armed(), adapter.fence()) == (False, 0)
    assert adapter.last_change().reason == "no valid switch file was found"

    gate = first_switch(tmp_path)

    assert adapter.is_armed()
    assert adapter.fence() == gate.fence()


def test_reader_that_is_not_the_gate_never_makes_a_file(tmp_path: Path) -> None:
    Switch.open(tmp_path / "gate").is_armed()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("GATE-84")
def test_kill_without_any_gate_leaves_a_killed_switch_for_the_next_start(tmp_path: Path) -> None:
    change = Switch.open(tmp_path / "gate").kill(reason="stop", by="a")

    assert change.fence == 1
    assert not Switch.start(tmp_path / "gate", is_first_start=True).is_armed()


def test_removed_or_replaced_file_is_noticed(tmp_path: Path) -> None:
    switch = first_switch(tmp_path)
    assert switch.is_intact()

    (tmp_path / "switch").unlink()
    assert not switch.is_intact()

    write_file(tmp_path, MAGIC, 1, 1, 0, 0)
    assert not switch.is_intact()


def test_kill_of_a_gate_whose_file_was_removed_kills_its_page_and_puts_the_file_right(tmp_path: Path) -> None:
    """The compiled kernel reads the page that was mapped at start, whatever happened to the name in the folder."""
    switch = first_switch(tmp_path)
    page = switch.words
    assert page is not None
    (tmp_path / "switch").unlink()

    change = switch.kill(reason="file gone", by="gate")

    assert page[1] != 1
    assert not switch.is_armed()
    assert change.fence > 1
    assert words_on_disk(tmp_path)[:2] == (MAGIC, 2)
    with pytest.raises(StateConflict, match="restart the gate"):
        switch.arm(reason="looks fine", by="a, b", fence=switch.fence())


def test_fence_can_move_without_a_change_of_state(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)

    assert gate.move_fence() == Switch.open(tmp_path).fence() == 2
    assert gate.is_armed()
    gate.kill(reason="stop", by="a")
    assert gate.move_fence() == 4
    assert not gate.is_armed()


def test_arming_again_moves_the_fence_and_says_who(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)
    killed = gate.kill(reason="stop", by="a")

    change = gate.arm(reason="cause found", by="b, c", fence=killed.fence)

    assert change.is_armed
    assert gate.is_armed()
    assert (change.fence, change.by, change.reason) == (3, "b, c", "cause found")


def test_arming_does_not_undo_a_kill_that_came_in_between(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)
    seen = gate.kill(reason="first", by="a")
    gate.kill(reason="second", by="d")

    with pytest.raises(StateConflict, match=r"fence 2.*fence 3"):
        gate.arm(reason="first is over", by="b, c", fence=seen.fence)

    assert not gate.is_armed()


def test_arming_a_machine_without_a_switch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateConflict, match="start the gate"):
        Switch.open(tmp_path).arm(reason="x", by="a, b", fence=0)


def test_kill_does_not_wait_for_a_program_that_holds_the_file(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)
    holder = Switch.open(tmp_path)

    with holder._locked():
        change = gate.kill(reason="stop", by="a")

    assert not change.is_armed
    assert change.fence == 2
    assert not holder.is_armed()


def test_kill_and_lift_at_the_same_time_never_end_armed_under_the_fence_of_the_kill(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)
    outcomes: list[tuple[int, bool]] = []

    def lift(fence: int) -> None:
        with Switch.open(tmp_path) as other:
            try:
                other.arm(reason="r", by="b, c", fence=fence)
            except StateConflict:
                return

    for _ in range(30):
        seen = gate.kill(reason="before", by="a")
        threads = [threading.Thread(target=lift, args=(seen.fence,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        with Switch.open(tmp_path) as shell:
            change = shell.kill(reason="again", by="a")
        for thread in threads:
            thread.join()
        outcomes.append((gate.fence() - change.fence, gate.is_armed()))

    assert all(not is_armed for _moved, is_armed in outcomes)


def test_failing_disk_does_not_hold_a_kill_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = first_switch(tmp_path)

    class BadDisk:
        def flush(self) -> None:
            raise OSError(5, "Input/output error")

        def __setitem__(self, key: object, value: object) -> None:
            pass

    monkeypatch.setattr(gate, "_page", BadDisk)
    change = gate.kill(reason="stop", by="a")

    assert not gate.is_armed()
    assert not change.is_durable


def test_long_and_foreign_words_are_kept_within_the_page(tmp_path: Path) -> None:
    gate = first_switch(tmp_path)

    gate.kill(reason="\N{SNOWMAN}" * 5_000, by="\u0000\n" + "x" * 500)

    change = gate.last_change()
    assert change.reason == "\N{SNOWMAN}" * 400
    assert change.by == "\u0000\n" + "x" * 118
    assert (tmp_path / "switch").stat().st_size == FILE_BYTES


def test_torn_words_lose_the_words_and_never_the_state(tmp_path: Path) -> None:
    first_switch(tmp_path).kill(reason="stop", by="a")
    with (tmp_path / "switch").open("r+b") as file:
        file.seek(70)
        file.write(b"\xff\xfe{")

    found = Switch.open(tmp_path)

    assert not found.is_armed()
    assert (found.last_change().by, found.last_change().reason) == ("", "")


def test_closed_switch_is_killed_unless_its_file_can_be_read_again(tmp_path: Path) -> None:
    switch = first_switch(tmp_path)
    switch.close()
    (tmp_path / "switch").unlink()

    assert not switch.is_armed()


def test_symbolic_link_in_place_of_the_switch_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    first_switch(tmp_path / "real")
    os.symlink(tmp_path / "real" / "switch", tmp_path / "switch")

    assert not Switch.open(tmp_path).is_armed()


def test_switch_needs_nothing_but_the_standard_library(repository: Path) -> None:
    code = (
        "import sys; from controlplane.gate import switch, permit, protocol\n"
        "heavy = {'numpy', 'numba', 'pydantic', 'typer', 'psycopg', 'structlog'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )

    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
