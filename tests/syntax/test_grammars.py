import subprocess
import sys

import pytest

from starcoder_ls.languages.table import LANGUAGES
from starcoder_ls.syntax import grammars


@pytest.mark.parametrize("language", [language.id for language in LANGUAGES if language.grammar])
def test_every_grammar_loads_and_reads(language: str) -> None:
    tree = grammars.parsed(b"\n", language)
    assert tree is not None
    assert not tree.root_node.has_error


def test_language_without_a_grammar_has_no_tree() -> None:
    assert grammars.parsed(b"a", "cobol") is None


def test_grammars_are_imported_when_first_met() -> None:
    told = (
        "import sys, starcoder_ls.syntax.grammars as g; print([m for m in sys.modules if m.startswith('tree_sitter_')])"
    )
    assert subprocess.check_output([sys.executable, "-c", told], text=True).strip() == "[]"
