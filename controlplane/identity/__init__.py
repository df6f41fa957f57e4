"""Who is asking: local accounts, signed-in people and what each door of the web service asks of them.

It never decides about orders, limits or halts, never keeps a password or a session's secret in readable form, and lets
nothing through that no line of a table names. Start reading at `access.py`, then `guard.py` and `service.py`.
"""
