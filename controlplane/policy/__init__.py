"""The shipped rule book: the shape of every file in policies/, how the files are read and what must fit together.

It never decides an order and never changes a number that it read: a rule book that is incomplete, contradictory or
half-written is refused as a whole. Start with `schema.py` for the shapes, then `load.py` for the door and `coverage.py`
for the question whether every order that could be asked for meets a limit.
"""
