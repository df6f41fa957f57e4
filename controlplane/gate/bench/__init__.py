"""Times the gate on this machine: `measure.py` is the whole list, `desk.py` makes the orders that pass, the others time
one shape each. Nothing here is imported by the gate.
"""
