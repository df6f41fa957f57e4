"""Denial codes in words: what each means and what ends it, and the sentence that carries the numbers of one decision.

Nothing here decides anything. Start with `meanings.py`, which the generated page is made from; `verdict.py` of the gate
fills the sentences.
"""
