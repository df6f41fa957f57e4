"""Families of controls, compiled, one file each, beside the checks that every order meets.

A family costs one test where no limit of it is set. Each has a twin of the same name in `plain/` and is called from
`decision.py`, `settlement.py` or `observing.py` by one line.
"""
