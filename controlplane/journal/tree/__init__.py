"""The record as a Merkle tree that strangers can check: tiles, signed checkpoints and proofs in public C2SP formats.

Everything here can be made again from the segments, except what was signed: a checkpoint that left this machine binds
it for ever, so nothing here signs a tree that isn't an extension of the last one signed. It never alters a segment.
Start reading at `growth.py` (how a tree follows its log), then `tiles.py` (where it lies) and `signer.py`.
"""
