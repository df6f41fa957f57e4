"""Hierarchical limits: which kinds there are, which meet an order, and how the rule book becomes a gate's snapshot.

Nothing here decides an order (the gate does) and nothing here loosens what people approved. Start with `kinds.py`, then
`compile.py`; `hierarchy.py` names the limits on one route and `utilisation.py` arranges what a gate says is in use.
"""
