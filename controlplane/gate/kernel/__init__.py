"""The deterministic machine of the gate, compiled: every check over flat arrays, the ledger, the windows, one record
out.

It touches nothing but the memory it is given: no clock, no file, no socket. Start with `machine.py` (one command
in), then `decision.py` (one order), `checks.py` and `exposure.py` (every limit). `arrays.py` is the vocabulary of
all of them.
"""
