"""Plumbing that every process needs: settings, the database server and its connections, logs, metrics, HTTP errors.

It knows the words of `domain` and nothing above it, and never holds a rule about orders, limits or people. Start
reading at `settings.py`, then `database.py`.
"""
