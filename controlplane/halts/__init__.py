"""Stopping and lifting: what a press does, what a lift needs, and how far a stop has come.

A stop acts first and is recorded at once after; nothing here may hold it up. It never lifts a halt for one person,
and it keeps no state of its own beside the journal: what it knows, it folds from records. Start reading at
`authority.py`, then `service.py`.
"""
