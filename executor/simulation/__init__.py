"""A market to trade against: an exchange that matches our orders in a recorded or a generated book, on a given time.

Time and seeds are arguments, so the same input gives the same fills. It never stands for evidence about our own
impact: a replayed book does not react to us. Start reading at `exchange.py`, then `matching.py` and `queue.py`.
"""
