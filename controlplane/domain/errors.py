"""The error tree of the product.

    ControlPlaneError
      RequestError            the caller can put it right
        InvalidRequest  UnknownReference  NotPermitted  StateConflict  SameApprover  PolicyInvalid
      DependencyError         something outside is unwell; counted, retried or degraded
        DatabaseUnavailable  JournalUnavailable  GateUnavailable  VenueUnavailable
        FeedUnavailable  ModelUnavailable  BrokerUnavailable  ChannelUnavailable
      EvidenceError           facts contradict each other; never retried, always halts something
        ChainBroken  ArtefactMismatch  PermitInvalid  SnapshotMismatch
        QuantityMismatch  PositionBreak  AllowanceExceeded
      InvariantBroken         a bug; nobody catches it

A denial is not in this tree: saying no is the gate's normal work and is returned as a value (`decisions.py`).
Nothing here knows HTTP; `runtime/http.py` holds the one table from these classes to status codes.
"""


class ControlPlaneError(Exception):
    """Root of every fault the product raises on purpose; the message is one sentence with the way out."""


class RequestError(ControlPlaneError):
    """The caller can put it right."""


class InvalidRequest(RequestError):
    """Malformed or out of range; names the field.

    Arguments
        message  one sentence: expected, found, what to do
        field    name of the offending field, or None when the request as a whole is malformed
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnknownReference(RequestError):
    """An identifier that names nothing."""


class NotPermitted(RequestError):
    """The person or program may not do this; carries the rule that decided."""

    def __init__(self, message: str, *, rule: str = "default-deny") -> None:
        super().__init__(message)
        self.rule = rule


class StateConflict(RequestError):
    """The object moved on since the caller saw it."""


class SameApprover(RequestError):
    """Maker and checker are one person."""


class PolicyInvalid(RequestError):
    """A policy file or change fails its schema or its cross-checks."""


class DependencyError(ControlPlaneError):
    """Something outside is unwell; expected, counted, retried or degraded."""


class DatabaseUnavailable(DependencyError):
    """PostgreSQL can't be reached or refused the work."""


class JournalUnavailable(DependencyError):
    """The record can't be made durable, so nothing may be decided."""


class GateUnavailable(DependencyError):
    """The gate process doesn't answer; the executor treats this as denied."""


class VenueUnavailable(DependencyError):
    """A venue connection is down."""


class FeedUnavailable(DependencyError):
    """Market data is missing or quarantined."""


class ModelUnavailable(DependencyError):
    """A model can't be loaded or doesn't answer in time."""


class BrokerUnavailable(DependencyError):
    """Messages between machines can't be delivered."""


class ChannelUnavailable(DependencyError):
    """An alert channel doesn't accept the message."""


class EvidenceError(ControlPlaneError):
    """Facts contradict each other; never retried, always halts something."""


class ChainBroken(EvidenceError):
    """The journal has a gap, an altered record or a wrong digest."""


class ArtefactMismatch(EvidenceError):
    """Model bytes are not the pinned ones."""


class PermitInvalid(EvidenceError):
    """A permit is missing, altered, expired, used or from before the fence moved."""


class SnapshotMismatch(EvidenceError):
    """Two parts of the system hold different versions of the limits."""


class QuantityMismatch(EvidenceError):
    """Quantities of a parent order don't reconcile."""


class PositionBreak(EvidenceError):
    """Our position differs from the venue's statement."""


class AllowanceExceeded(EvidenceError):
    """A gate used more of a firm limit than its share."""


class InvariantBroken(ControlPlaneError):
    """A bug. Nobody catches it: the process stops and recovers from the journal, the gate fails closed."""
