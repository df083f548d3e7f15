from __future__ import annotations

import random

from starcoder_ls.learning.python_functions import PythonFile, apply
from starcoder_ls.learning.synthetic_fixes import FIXES

TEXT = '''import os
import re

LIMIT = 3


def find(path, names):
    """Find."""
    if not names:
        return None
    for index in range(len(names)):
        if index < LIMIT and path == names[index]:
            return re.sub("a", "b", path)
    return os.sep
'''


def edits(kind: str, text: str = TEXT) -> set[tuple[str, str, str]]:
    """Subject, and the file before and after the edit, with many seeds."""
    file = PythonFile.parse(text)
    assert file is not None
    function = next(file.functions())
    made = set()
    for seed in range(60):
        change = FIXES[kind](function, random.Random(seed))
        if change is not None:
            other = apply(text, change.replacements)
            made.add((change.subject, *((other, text) if change.leads_to else (text, other))))
    return made


def test_guard_that_stands_first_is_added() -> None:
    before = TEXT.replace("    if not names:\n        return None\n", "")
    assert ("Return None if not names", before, TEXT) in edits("added guard")
    assert not edits("added guard", TEXT.replace("not names", "names is None"))


def test_none_check_is_the_authors_or_is_made_up() -> None:
    checked = TEXT.replace("not names", "names is None")
    assert {after for _, _, after in edits("added None check", checked)} == {checked}
    plain = TEXT.replace("    if not names:\n        return None\n", "")
    made = {subject: after for subject, _, after in edits("added None check", plain)}
    assert (
        '    """Find."""\n    if path is None:\n        return False\n    for' in made["Return False if path is None"]
    )
    assert not edits("added None check"), "another guard stands there"


def test_off_by_one_errors_lead_to_the_code_as_it_is() -> None:
    made = edits("off by one")
    befores = {before for _, before, _ in made}
    assert {after for _, _, after in made} == {TEXT}
    assert TEXT.replace("index < LIMIT", "index <= LIMIT") in befores
    assert TEXT.replace("range(len(names))", "range(len(names) - 1)") in befores


def test_inverted_conditions_lead_to_the_code_as_it_is() -> None:
    befores = {before for _, before, _ in edits("inverted condition")}
    assert befores == {TEXT.replace("if not names", "if names"), TEXT.replace("path ==", "path !=")}


def test_debug_statement_is_removed() -> None:
    made = edits("removed debugging")
    assert {after for _, _, after in made} == {TEXT}
    assert any("    print(path)\n" in before for _, before, _ in made)
    assert all(len(before.split("\n")) == len(TEXT.split("\n")) + 1 for _, before, _ in made)


def test_import_moves_from_the_function_to_the_top() -> None:
    made = {subject: before for subject, before, _ in edits("moved import")}
    before = made["Move import of re to the top"]
    assert before.startswith("import os\n\nLIMIT")
    assert '    """Find."""\n    import re\n' in before
