"""Recorded market data from files into events; the only place of this folder that touches a file.

A reader never raises for what it finds in a file: a fault becomes a value that names file, line and what was expected.
Start reading at `recordings.py`, which finds a recording and says why it took that one.
"""
