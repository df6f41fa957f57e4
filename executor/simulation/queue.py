"""A place in the queue of one price level, judged from what a feed shows: trades, and the quantity at the level.

Lots that stand ahead of the place are used up by trades at the price, which start at the front. A level that shrinks by
more than was traded has lost cancelled orders. A feed of single orders tells which; a feed of levels doesn't, and
then cancels take lots ahead in proportion to the share of the level that stands ahead, rounded down. That is the usual
assumption (hftbacktest and queue-reactive models use it or relatives of it) and slightly hopeful, since orders at
the front are cancelled less; `BEHIND_FIRST` is the hard bound, where cancels help only once nothing is left behind us.
"""

from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.invariants import require


class CancelModel(StrEnum):
    """Which orders of a level are assumed to be cancelled."""

    PROPORTIONAL = "proportional"
    BEHIND_FIRST = "behind first"


@dataclass(slots=True)
class QueuePlace:
    """Lots of the market ahead of a place.

    Fields
        ahead_lots     to be traded or cancelled before it is the place's turn
        credited_lots  taken off as cancelled at the last refresh; a trade that turns out to be older than that
                       refresh explains them and must not be taken off again
    """

    ahead_lots: int
    credited_lots: int = 0

    def on_trade(self, traded_lots: int, *, is_late: bool) -> int:
        """Return how many of the traded lots go beyond the ones ahead, which are used up first.

        Arguments
            is_late  the last refresh of the level already contains this trade
        """
        if is_late:
            explained_lots = min(self.credited_lots, traded_lots)
            self.credited_lots -= explained_lots
            traded_lots -= explained_lots
        used_lots = min(self.ahead_lots, traded_lots)
        self.ahead_lots -= used_lots
        return traded_lots - used_lots

    def on_refresh(self, *, level_lots: int, shown_lots: int, cancels: CancelModel) -> None:
        """Take in a new quantity of the level.

        Arguments
            level_lots  quantity before, less what was traded since
            shown_lots  quantity now; never fewer than stand ahead
        """
        require(
            level_lots >= 0 and shown_lots >= 0, f"A level holds 0 lots or more, found {level_lots} and {shown_lots}."
        )
        before_lots = self.ahead_lots
        cancelled_lots = max(0, level_lots - shown_lots)
        if cancels is CancelModel.PROPORTIONAL and level_lots:
            self.ahead_lots -= min(self.ahead_lots, cancelled_lots * self.ahead_lots // level_lots)
        self.ahead_lots = min(self.ahead_lots, shown_lots)
        self.credited_lots = before_lots - self.ahead_lots

    def on_cancel_ahead(self, cancelled_lots: int) -> None:
        """Take off an order that is known to have stood ahead."""
        self.ahead_lots = max(0, self.ahead_lots - cancelled_lots)
