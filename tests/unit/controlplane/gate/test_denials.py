"""Every denial code is explained to people: what it means, what ends it, and the page that lists them is up to date."""

from pathlib import Path

import pytest

from controlplane.domain.decisions import DenialCode
from controlplane.gate.denials.meanings import EXPLANATIONS
from controlplane.limits.reference import denials_markdown


def test_every_code_has_its_explanation_in_order_of_precedence() -> None:
    assert list(EXPLANATIONS) == list(DenialCode)


@pytest.mark.parametrize("code", DenialCode, ids=lambda code: code.name)
def test_meaning_and_what_ends_it_are_sentences_that_fit_a_table(code: DenialCode) -> None:
    told = EXPLANATIONS[code]

    for text in (told.meaning, told.ends):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "|" not in text
        assert "{" not in text
    assert told.meaning != told.ends


def test_no_two_codes_mean_the_same() -> None:
    assert len({told.meaning for told in EXPLANATIONS.values()}) == len(EXPLANATIONS)


def test_page_of_denial_codes_is_up_to_date(repository: Path) -> None:
    written = (repository / "docs" / "reference" / "denials.md").read_text(encoding="utf-8")

    assert written == denials_markdown(), "run `controlplane docs` and keep what it writes"
    assert all(f"| {int(code)} | `{code.name}` |" in written for code in DenialCode)
