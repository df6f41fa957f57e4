"""Gates for the tests of this folder: the machine is compiled once, before the first test that needs one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.gate.snapshot import Snapshot
from tests.support.builders import roomy_snapshot
from tests.support.rig import OpenRig, Rig


@pytest.fixture(scope="session")
def compiled_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Machine code of every rule and of the recovery; half a minute on a machine that has never made it, then read."""
    rig = Rig.open(tmp_path_factory.mktemp("compiled"))
    rig.hold(1)
    rig.restart(roomy_snapshot(version=2))
    rig.close()


@pytest.fixture
def open_rig(tmp_path: Path, compiled_machine: None) -> Iterator[OpenRig]:
    """Opens gates, each over a folder of its own, and closes them when the test ends."""
    opened: list[Rig] = []

    def open_one(snapshot: Snapshot | None = None, **settings: Any) -> Rig:
        rig = Rig.open(tmp_path / f"state-{len(opened)}", snapshot, **settings)
        opened.append(rig)
        return rig

    yield open_one
    for rig in opened:
        rig.close()


@pytest.fixture
def rig(open_rig: OpenRig) -> Rig:
    """A gate under limits so wide that nothing binds, with its market open."""
    return open_rig()
