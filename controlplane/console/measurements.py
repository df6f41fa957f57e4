"""What Prometheus reads: this service's own measurements and, from the gate, those that only the gate can make."""

from pathlib import Path

from controlplane.domain.clock import SystemClock
from controlplane.domain.errors import ControlPlaneError
from controlplane.halts.readings import GateControl
from controlplane.journal.tree.status import read_status
from controlplane.runtime import metrics

# Families that are counted in the gate process; here they would stand at zero for ever.
OF_THE_GATE = ("cp_gate_", "cp_journal_")


def measurements(gate: GateControl, state_directory: Path) -> str:
    """The text for Prometheus; while the gate is silent its families are absent, which is what an alert looks for."""
    measure_trees(state_directory)
    own = _lines(metrics.render().decode(), is_of_gate=False)
    try:
        text = str(gate.control("metrics").get("text", ""))
    except (ControlPlaneError, OSError):
        text = ""
    return "\n".join([*own, *_lines(text, is_of_gate=True)]) + "\n"


def measure_trees(state_directory: Path) -> None:
    """Take over what the drain of this machine last said about its trees; nothing where it never said anything."""
    try:
        written_ns, trees = read_status(state_directory)
    except ControlPlaneError:
        return
    age_ns = SystemClock().wall_ns() - written_ns
    metrics.DRAIN_STATUS_AGE_SECONDS.set(age_ns / 1e9 if written_ns else -1)
    for tree in trees:
        metrics.TREE_SIZE_RECORDS.labels(log=tree.log).set(tree.size)
        metrics.COSIGNED_SIZE_RECORDS.labels(log=tree.log).set(tree.cosigned_size)
        metrics.COSIGNATURE_WAIT_SECONDS.labels(log=tree.log).set(tree.cosign_waits_seconds)
        metrics.TREE_STOPPED.labels(log=tree.log).set(tree.is_stopped)


def _lines(text: str, *, is_of_gate: bool) -> list[str]:
    return [line for line in text.splitlines() if line and _name_of(line).startswith(OF_THE_GATE) is is_of_gate]


def _name_of(line: str) -> str:
    """The name that a line of the text format is about, be it a comment or a sample."""
    words = line.split(" ", 3)
    return words[2] if words[0] == "#" and len(words) > 2 else words[0].partition("{")[0]
