"""The parts of the gate's decision in plain Python, written to be read as its specification: slow, obvious, exact.

It judges the compiled machine in `kernel/`, shares no arithmetic with it, and must never stand on an order's path.
Objects are found by name, integers have no bound, every total is a sum that is formed when it is asked for. Start with
`../reference.py` (one command in, one record out), then `decision.py` (one order) and `reports.py` (what a venue says).
"""
