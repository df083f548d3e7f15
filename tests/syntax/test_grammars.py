import subprocess
import sys

import pytest

from starcoder_ls.languages.table import LANGUAGES
from starcoder_ls.syntax import grammars


@pytest.mark.parametrize("language", [language.id for language in LANGUAGES if language.grammar])
def test_grammar_of_each_language_loads_and_parses(language: str) -> None:
    tree = grammars.parse(b"\n", language)
    assert tree is not None
    assert not tree.root_node.has_error


def test_parse_returns_none_without_a_grammar() -> None:
    assert grammars.parse(b"a", "cobol") is None


def test_grammars_are_not_imported_before_their_first_parse() -> None:
    code = (
        "import sys, starcoder_ls.syntax.grammars as g; print([m for m in sys.modules if m.startswith('tree_sitter_')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
