"""Says after the fact what a parent order cost and why, in parts that add up to the total exactly.

All arithmetic is on integers; a rounded number appears only where a person reads one. It never decides anything and
never reads a market: prices and mids are handed in. Start reading at `shortfall.py`, then `components.py`.
"""
