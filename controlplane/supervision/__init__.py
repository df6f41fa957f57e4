"""Running orders as operators see them: parents, children and each child's way to the venue and back.

Everything here is folded from journal records; nothing asks the executor or the gate's decision path, and nothing here
decides. Start reading at `orders.py`, then `projection.py` and `steps.py`.
"""
