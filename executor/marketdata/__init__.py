"""Market data as values: events, the book they build, the rules that distrust them, and readers of recordings.

Nothing here trades, and nothing that a validation rule refused goes any further: a bad feed is cut off with its reason
until it can be trusted again. Start reading at `events.py`, then `book.py`, `validate.py` and `quarantine.py`.
"""
