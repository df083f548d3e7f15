import re

import pytest

from starcoder_ls.languages.table import LANGUAGES, PLAIN, known


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_patterns_of_a_language_can_be_read(language_id: str) -> None:
    language = known(language_id)
    re.compile(language.opens)
    re.compile(language.closes)


def test_a_language_that_nobody_described_gets_rules_that_fit_most() -> None:
    assert known("befunge") is PLAIN
    assert re.search(known("befunge").opens, "loop {")
