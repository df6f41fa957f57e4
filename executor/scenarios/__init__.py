"""Assembles whole runs: rule book, gate, journals, a market, a venue and the engine, in one process or as programs.

The only place of the executor that may import anything, since it puts together what others keep apart; it holds no rule
about orders or limits itself. Start reading at `replay.py`.
"""
