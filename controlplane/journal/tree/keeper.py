"""Keeps the tree of every log of this machine growing, with the database up or down, and has a witness sign it.

Growing and asking the witness are two loops that may run on two threads: a witness that doesn't answer delays no
checkpoint. What goes wrong with one log is told and doesn't stop the others.
"""

import threading
from dataclasses import replace
from pathlib import Path

from controlplane.domain.clock import Clock, SystemClock
from controlplane.domain.errors import DependencyError, EvidenceError, RequestError
from controlplane.journal.files.segment import Disk, SystemDisk, list_logs
from controlplane.journal.tree.cosigner import Cosigner
from controlplane.journal.tree.growth import LogTree
from controlplane.journal.tree.signer import Signer
from controlplane.journal.tree.status import DRAIN_DIRECTORY, TreeProgress, write_status
from controlplane.runtime.logs import get_logger

POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
COSIGN_SECONDS = 0.5
# A cosignature is late when a checkpoint has waited for it this long.
LATE_SECONDS = 30.0
NS_PER_SECOND = 1_000_000_000
# So old is a status at most while the drain runs; how old it is tells whether it does.
STATUS_NS = NS_PER_SECOND
# Stands for a log's name where no log can be signed.
EVERY_LOG = "*"

events = get_logger("journal.tree")


class TreeKeeper:
    """The trees of all logs below `<state>/journal`; one per machine.

    Arguments
        state_directory  where this machine keeps its state; keys and notes go into `drain/` there
        origin           begins the name of every log; made from the key when empty
        cosigner         the witness to ask, None where there is none
    """

    def __init__(
        self,
        state_directory: Path,
        *,
        origin: str = "",
        cosigner: Cosigner | None = None,
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._journal_directory = state_directory / "journal"
        self._directory = state_directory / DRAIN_DIRECTORY
        self._origin = origin
        self._cosigner = cosigner
        self._clock = clock or SystemClock()
        self._disk = disk or SystemDisk()
        self._signer: Signer | None = None
        self._trees: dict[str, LogTree] = {}
        self._progress: dict[str, TreeProgress] = {}
        self._waits_since_ns: dict[str, int] = {}
        self._reported_ns = 0
        self._turn = threading.Lock()

    @property
    def progress(self) -> tuple[TreeProgress, ...]:
        """Where every log stands, by name."""
        return tuple(self._with_wait(self._progress[log]) for log in sorted(self._progress))

    def grow_all(self, *, is_due: bool = False) -> int:
        """How many records came under new checkpoints; never raises for a log or a disk that is unwell.

        Arguments
            is_due  make checkpoints of whatever is new, without waiting for more
        """
        grown = 0
        try:
            directories = list_logs(self._journal_directory)
            signer = self._signer or self._open_signer()
        except (DependencyError, EvidenceError, RequestError, OSError) as error:
            self._progress[EVERY_LOG] = TreeProgress(EVERY_LOG, problem=str(error))
            return 0
        self._progress.pop(EVERY_LOG, None)
        for directory in directories:
            log = directory.name
            if log not in self._trees:
                self._trees[log] = LogTree(directory, signer, clock=self._clock, disk=self._disk)
                self._progress[log] = TreeProgress(log, key=signer.verifier_key(log).text)
            grown += self._grow(self._trees[log], is_due=is_due)
        return grown

    def cosign_all(self) -> int:
        """How many checkpoints the witness signed; never raises for a witness that is away or says no."""
        if self._cosigner is None:
            return 0
        signed = 0
        for tree in list(self._trees.values()):
            before = self._progress[tree.log]
            if before.is_stopped or tree.published.size == before.cosigned_size:
                continue
            asked_ns = self._clock.monotonic_ns()
            try:
                size = self._cosigner.cosign(tree)
            except EvidenceError as error:
                self._stop(tree.log, str(error))
            except (DependencyError, RequestError, OSError) as error:
                self._update(tree.log, cosign_problem=str(error))
            else:
                signed += 1
                # What was published while we asked waits since about then.
                self._waits_since_ns[tree.log] = 0 if size == tree.published.size else asked_ns
                self._update(tree.log, cosigned_size=size, cosign_problem="")
        return signed

    def run(self, stop_event: threading.Event) -> None:
        """Return when the event is set, with a last checkpoint of whatever is new."""
        cosigning = threading.Thread(target=self._run_cosigner, args=(stop_event,), name="cosigner")
        cosigning.start()
        reported: tuple[TreeProgress, ...] = ()
        while not stop_event.is_set():
            self.grow_all()
            reported = self._report(reported)
            is_well = not any(one.problem for one in reported)
            stop_event.wait(POLL_SECONDS if is_well else RETRY_SECONDS)
        cosigning.join()
        self.grow_all(is_due=True)
        self.cosign_all()
        self._report(reported)

    def leave_status(self) -> None:
        """Write where every tree stands for whoever asks; a disk that refuses is told in the log alone."""
        try:
            write_status(self._directory, self.progress, wall_ns=self._clock.wall_ns())
        except OSError as error:
            events.warning("tree_status_not_written", reason=str(error))

    def close(self) -> None:
        """Give the files and the signer's lock back."""
        for tree in self._trees.values():
            tree.close()
        if self._signer is not None:
            self._signer.close()
            self._signer = None
        self._trees = {}

    def _run_cosigner(self, stop_event: threading.Event) -> None:
        while not stop_event.is_set():
            self.cosign_all()
            stop_event.wait(COSIGN_SECONDS)

    def _open_signer(self) -> Signer:
        self._signer = Signer(self._directory, origin=self._origin, disk=self._disk)
        return self._signer

    def _grow(self, tree: LogTree, *, is_due: bool) -> int:
        if self._progress[tree.log].is_stopped:
            return 0
        try:
            grown = tree.grow(is_due=is_due)
        except EvidenceError as error:
            self._stop(tree.log, str(error))
        except (DependencyError, OSError) as error:
            self._update(tree.log, problem=str(error))
        else:
            size = tree.published.size
            if size > self._progress[tree.log].cosigned_size and not self._waits_since_ns.get(tree.log):
                self._waits_since_ns[tree.log] = self._clock.monotonic_ns()
            self._update(tree.log, size=size, problem="")
            return grown
        return 0

    def _update(self, log: str, **changes: object) -> None:
        with self._turn:
            self._progress[log] = replace(self._progress[log], **changes)  # type: ignore[arg-type]

    def _stop(self, log: str, problem: str) -> None:
        """Sign nothing more of this log: it, its tree or its witness needs a person."""
        self._update(log, problem=problem, is_stopped=True)
        events.error("tree_stopped", log=log, problem=problem)

    def _with_wait(self, progress: TreeProgress) -> TreeProgress:
        since_ns = self._waits_since_ns.get(progress.log, 0)
        if self._cosigner is None or not since_ns:
            return progress
        waits = (self._clock.monotonic_ns() - since_ns) / NS_PER_SECOND
        problem = progress.cosign_problem
        if waits > LATE_SECONDS and not problem:
            problem = f"Expected the witness's signature within {LATE_SECONDS:.0f} s, found none; see that it runs."
        return replace(progress, cosign_waits_seconds=round(max(waits, 0.0), 3), cosign_problem=problem)

    def _report(self, reported: tuple[TreeProgress, ...]) -> tuple[TreeProgress, ...]:
        """Leave the status when something moved and once a second, and an event when a problem comes or goes."""
        found = self.progress
        now_ns = self._clock.monotonic_ns()
        is_moved = [replace(one, cosign_waits_seconds=0.0) for one in found] != [
            replace(one, cosign_waits_seconds=0.0) for one in reported
        ]
        if is_moved or now_ns - self._reported_ns >= STATUS_NS:
            self._reported_ns = now_ns
            self.leave_status()
        problems = [text for one in found for text in (one.problem, one.cosign_problem) if text]
        if problems != [text for one in reported for text in (one.problem, one.cosign_problem) if text]:
            events.warning("tree_state", problems=problems)
        return found
