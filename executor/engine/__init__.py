"""The loop that works parent orders: one event in, actions out, every order through the gate.

It never reads a clock or a socket on its own account inside a rule, and only `submit.py` calls a venue adapter. Start
reading at `loop.py`, then `submit.py` and `reports.py`.
"""
