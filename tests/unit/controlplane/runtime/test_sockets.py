"""The folder of the local sockets: short enough, and nobody else's."""

import os
from pathlib import Path

import pytest

from controlplane.domain.errors import NotPermitted
from controlplane.runtime.sockets import make_private, socket_directory


def test_short_path_keeps_its_sockets_inside() -> None:
    assert socket_directory(Path("/srv/x")) == Path("/srv/x/socket")


def test_longest_path_that_stays_inside_leaves_room_for_the_longest_name() -> None:
    lengths = {
        length: len(os.fsencode(socket_directory(Path("/" + "a" * length)) / ".s.PGSQL.65535.lock"))
        for length in range(1, 200)
    }

    assert max(lengths.values()) == 99
    assert socket_directory(Path("/" + "a" * 199)).parent != Path("/" + "a" * 199)


def test_path_is_counted_in_bytes_not_in_letters() -> None:
    # Forty letters of two bytes each.
    assert socket_directory(Path("/" + "é" * 40)).parent != Path("/" + "é" * 40)


def test_folder_is_made_closed_and_an_open_one_of_ours_is_closed(tmp_path: Path) -> None:
    ours = tmp_path / "deep" / "socket"
    make_private(ours)
    ours.chmod(0o755)

    make_private(ours)

    assert ours.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "file"])
def test_something_else_under_that_name_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "socket"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("")

    with pytest.raises(NotPermitted, match="to be a folder of this user"):
        make_private(place)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that belongs to somebody else")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir(mode=0o700)
    os.chown(tmp_path / "socket", 65534, 65534)

    with pytest.raises(NotPermitted, match="found one of uid 65534"):
        make_private(tmp_path / "socket")
