"""Decides whether an order may leave, keeps the record, and lets people steer.

Each folder is a subject that a risk officer would name. Rules are plain functions over plain values; the database, the
web and the network sit in files with fixed names (tables, store, service, api, jobs). Nothing here ever imports the
executor, and nothing here ever changes an order: it is allowed as it is, or denied. Start reading at
`domain/orders.py`, then `gate/gate.py`, then `journal/record.py`.
"""
