"""A judge of logs that was written from the public descriptions alone and shares no line with the programs it judges.

It reads `docs/reference/journal.md` and the C2SP texts as a stranger would: frames, chain, tree, signatures. It must
never import anything of ours outside this folder, and nothing that writes the record may import it; a mistake made once
would otherwise be made on both sides. Start reading at `judging.py`; `python -m controlplane.verifier` runs it alone.
"""
