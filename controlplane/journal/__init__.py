"""The record: append-only files of numbered, chained records that can be read and verified without us.

Writing comes first and everything else follows from the files: the database holds a copy for searching that can be
thrown away and filled again. Nothing here ever overwrites, reorders or repairs a record that was written; what
contradicts itself is refused with the name of the file and the place. Start reading at `record.py` (what a record looks
like), then `writer.py` and `reader.py`.
"""
