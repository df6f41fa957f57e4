"""From what a strategy wants to an order a venue understands: venue, price, order type.

It never changes how much a strategy asked for and never talks to a venue. Start reading at `router.py`.
"""
