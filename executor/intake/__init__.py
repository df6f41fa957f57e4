"""Where parent orders come in, by whatever door, and are checked for shape before anything else sees them.

Nothing here decides whether an order may trade: that is the gate's question. Start reading at `rest.py`, whose
`accept_parent` every door shares.
"""
