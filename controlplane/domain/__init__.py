"""The words of the trade as plain values: identifiers, quantities, instruments, scopes, orders, reports, decisions.

Nothing here reads a clock, a file, a socket or a database, and nothing here imports another package of the product.
Start with `orders.py` (what the gate is asked), then `decisions.py` (what it answers) and `reports.py` (what a
venue says).
"""
