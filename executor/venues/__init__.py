"""Ways out: one adapter per venue behind `port.py`, which verifies and spends the permit for all of them.

An adapter never sends a new order or an amend without a valid permit, never holds a cancel back, and never decides
anything about a parent order. Start reading at `port.py`, then `simulated.py`.
"""
