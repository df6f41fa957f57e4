"""Web pages for people: each asks services, shows what they answer with its age, and decides nothing.

It never talks to the order path, never holds back a stop, never sends a script, a style or a request to another host.
Start reading at `panels.py`, then `pages/situation.py` and `render.py`; the stop button is `pages/stop.py`.
"""
