"""Decides what a parent order wants next: a read-only view in, child intents out.

A strategy is a pure function of its view: it remembers nothing, reads no clock, sees neither gate nor venue, and can
never place more than the view calls unplaced. Start reading at `base.py`, then `slices.py` and `twap.py`; the numbers
behind the schedules are in `schedule.py`, `lot_schedule.py` and `almgren_chriss.py`.
"""
