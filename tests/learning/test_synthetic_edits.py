from __future__ import annotations

from functools import cache

from starcoder_ls.learning.python_functions import PythonFile
from starcoder_ls.learning.synthetic_edits import KINDS, EditMaker, SyntheticEdit

FUNCTIONS = 26
WORDS = (
    "apple",
    "brick",
    "cloud",
    "drum",
    "eagle",
    "flute",
    "grape",
    "house",
    "iron",
    "jelly",
    "kite",
    "lemon",
    "mint",
)


def source() -> str:
    functions = (
        f"def load_{name}({name}, limit=10):\n    if {name} is None:\n        return None\n"
        f"    found = re.findall('left', {name})\n    if len(found) < limit:\n        return found\n"
        f"    return os.path.join({name}, 'x')\n"
        for name in (f"{word}_{suffix}" for suffix in ("red", "blue") for word in WORDS)
    )
    return "import os\nimport re\nimport sys\n\n\n" + "\n\n".join(functions)


@cache
def edits(seed: int = 0) -> tuple[SyntheticEdit, ...]:
    return tuple(EditMaker(seed).make_edits("package/file.py", source()))


def test_edits_are_valid_and_the_span_is_part_of_the_file() -> None:
    assert len(edits()) == FUNCTIONS
    assert {edit.kind for edit in edits()} > {"rename", "added argument", "added None check", "off by one"}
    for edit in edits():
        assert edit.kind in KINDS
        assert edit.span.before != edit.span.after
        assert PythonFile.parse(edit.change.old) is not None
        lines = edit.change.old.split("\n")[edit.span.first_line :]
        assert "\n".join(lines).startswith(edit.span.before)
        assert edit.span.after in edit.change.new


def test_half_of_the_edits_show_the_whole_function() -> None:
    whole = [edit for edit in edits() if edit.span.before.startswith("def load") and "\n\n" not in edit.span.before]
    assert 6 <= len(whole) <= 20


def test_edits_depend_on_seed_and_file_only() -> None:
    assert tuple(EditMaker(0).make_edits("package/file.py", source())) == edits()
    assert [edit.span for edit in edits()] != [edit.span for edit in edits(1)]


def test_each_kind_is_made_about_as_often() -> None:
    counts = [sum(edit.kind == kind for edit in edits()) for kind in KINDS]
    assert max(counts) <= 2 * FUNCTIONS / len(KINDS) + 2


def test_file_that_is_not_python_has_no_edits() -> None:
    assert list(EditMaker().make_edits("f.py", "def f(:\n")) == []
