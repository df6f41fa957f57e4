"""Decides one order at a time and issues the permit without which no adapter sends it.

Knows neither the web nor the database, and never changes an order. Start with `gate.py`, then `kernel/` for the
decision itself and `reference.py` for the same decision written slowly; `process.py` and `embedded.py` are its two
shapes.
"""
