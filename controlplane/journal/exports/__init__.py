"""What an export looks like: its columns, its cells, and the forms of its files.

Nothing here decides what may leave; that is `journal/export.py`, which holds every row against the signed tree. Start
reading at `rows.py`.
"""
