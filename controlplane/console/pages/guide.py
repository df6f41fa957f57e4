"""Help: what each page is for, how stopping works, and what the words mean."""

from dataclasses import dataclass

from controlplane.console.panels import Page
from controlplane.console.sources import Sources, Visit


@dataclass(frozen=True, slots=True)
class Topic:
    """One entry of the guide; its key is what a page names."""

    key: str
    title: str
    text: str
    guide: str


TOPICS = (
    Topic(
        "situation",
        "Situation",
        "Tells in five seconds whether anything needs you. The list at the top holds only what is abnormal, the "
        "worst first, "
        "each with its next action. What can't be known stands above what is near its limit.",
        "operator",
    ),
    Topic(
        "orders",
        "Orders",
        "One row per block. The bar shows what is filled (solid) and working (striped); the notch is where the "
        "schedule, or an "
        "even pace where there is none, would be. Slippage is fill against arrival, positive is cost.",
        "operator",
    ),
    Topic(
        "one-block",
        "One block",
        "Quantity against schedule, every child order, what the gate denied and why, where it filled, and what it "
        "cost. Use "
        "Stop at the top right to stop this block alone.",
        "operator",
    ),
    Topic(
        "one-child",
        "One child order",
        "Eighteen steps from the block to the venue and back, each with its time and what the record keeps of it. A "
        "step that "
        "keeps nothing says so; a denied order ends at step 8.",
        "operator",
    ),
    Topic(
        "limits",
        "Limits",
        "Every limit of the rule book that the gate works with. Used is what positions take, reserved is what "
        "permitted orders "
        "may still take. Unknown stands first, then breach, then near.",
        "risk-officer",
    ),
    Topic(
        "decisions",
        "Decisions",
        "Every answer of the gate. Filters stand in the address, so a search can be sent to somebody else.",
        "auditor",
    ),
    Topic(
        "one-decision",
        "One decision",
        "The order, the market as the gate saw it, every check, the limit that came nearest or decided, and its "
        "place in the "
        "record. The command controlplane verify checks the record without this service.",
        "auditor",
    ),
    Topic(
        "stop",
        "Stop",
        "One press acts. Pause blocks new orders and keeps working ones; reduce only lets positions shrink; halt "
        "blocks and "
        "cancels; kill also voids every permit of the machine. Give the reason afterwards. One person ends a pause; "
        "lifting a "
        "halt takes two people.",
        "risk-officer",
    ),
    Topic(
        "sign-in",
        "Signing in",
        "Two accounts were made at the first start; their passwords were shown once and stand in a file that only "
        "this user "
        "can read. A session ends after eight hours without use or twelve in all.",
        "operator",
    ),
    Topic("help", "Help", "This page. Every page has the same address with .json at its end.", "operator"),
)

GLOSSARY = (
    ("parent order, block", "the quantity we are asked to execute"),
    ("child order", "one order sent to one venue for a parent"),
    ("working", "acknowledged by a venue and not finished"),
    ("in flight", "sent, no answer yet; counts as live"),
    ("denied", "our gate said no; nothing left the machine"),
    ("rejected", "the venue said no"),
    ("refused", "an adapter would not send, because proof was missing"),
    ("permit", "single-use proof that exactly one order was allowed"),
    ("scope", "what a limit or a stop applies to: firm, desk, strategy, model, block, instrument, underlying, venue"),
    ("headroom", "what is left of a limit"),
    ("reservation", "exposure taken for an order that is permitted but not finished"),
    ("binding limit", "the limit that gave the tightest answer"),
    ("fence", "a number of the machine; when it moves, every permit issued before is void"),
    ("pause", "new orders and amends blocked, working orders stay; one person ends it"),
    ("reduce-only", "only orders that shrink the position"),
    ("halt", "new orders blocked, working ones cancelled; two people lift it"),
    ("kill", "a halt that voids every permit of the machine at once"),
    ("slippage", "fill price against arrival price; positive is cost"),
    ("implementation shortfall", "the whole cost against the paper portfolio, unfilled part included"),
    ("participation rate", "our filled quantity over the market's in the same time"),
    ("journal", "the append-only record; the database is an index over it"),
)


def read(sources: Sources, visit: Visit) -> Page:
    """The page."""
    facts: dict[str, object] = {
        "topics": [
            {"key": topic.key, "title": topic.title, "text": topic.text, "guide": topic.guide} for topic in TOPICS
        ],
        "glossary": [{"term": term, "meaning": meaning} for term, meaning in GLOSSARY],
        "kill_command": sources.kill_command,
    }
    return Page("guide", "Help", visit.address, "help", facts=facts)
