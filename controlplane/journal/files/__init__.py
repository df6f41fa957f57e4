"""Segment files and what lies beside them, down to the byte: frames, headers, mappings, torn ends, blobs, the lock.

These files know bytes, offsets and descriptors; whether a log as a whole hangs together is the business of the folder
above. Nothing here is for other areas: they use `writer.py`, `reader.py` and `verify.py`. Start reading at `frames.py`.
"""
