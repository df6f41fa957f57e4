"""Intents, child and parent orders: what is wanted, which states orders pass through, where every lot of a parent is.

Pure values and functions: no clock, no gate, no venue. A venue's report never raises here for being late, repeated or
out of order; it is counted by the rules and its oddity is named. Start reading at `intent.py`, then `child.py` and
`parent.py`; `reconcile.py` proves that no lot is lost or doubled.
"""
