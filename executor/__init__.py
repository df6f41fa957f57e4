"""Works parent orders: market data in, child orders out, every one of them through the gate.

It depends on a small contract of the control plane (domain values, the gate's client and permit, the journal's byte
layouts, the plumbing in runtime) and on nothing else of it. It never sends an order without a permit; only
`engine/submit.py` calls a venue adapter. Start reading at `engine/loop.py`, then `engine/submit.py`.
"""
