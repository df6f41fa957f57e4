"""Breakers and dynamic limits of a gate: their rules as the snapshot holds them, and their state for people.

What they do to an order is in `gate/kernel/families/` and, written once more, in `gate/plain/`.
"""
