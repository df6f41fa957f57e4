"""A gate process with small journal files, so that a test can fill a disk under it.

Started as `python -m tests.support.small_gate` with the state directory and the size of a segment in bytes.
"""

import sys
from pathlib import Path

from controlplane.gate.process import run_gate
from controlplane.runtime.settings import Durability
from controlplane.runtime.sockets import socket_directory
from controlplane.terminal import faults_as_sentences
from tests.support.gate_process import current_snapshot

if __name__ == "__main__":
    state_directory = Path(sys.argv[1])
    with faults_as_sentences():
        sys.exit(
            run_gate(
                current_snapshot(),
                state_directory=state_directory,
                socket_path=socket_directory(state_directory) / "gate.sock",
                durability=Durability.DISK,
                segment_bytes=int(sys.argv[2]),
                on_ready=lambda _gate: print("answers at", flush=True),
            )
        )
