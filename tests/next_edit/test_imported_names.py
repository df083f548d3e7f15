from __future__ import annotations

import pytest

from edited_text import EditedText

FILES = "def load(a):\n    return a\n\n\nx = load(1)\n"


def edit_two_files(importing: str, edit: tuple[str, str] = ("load", "read"), language: str = "python") -> EditedText:
    """``importing``, after ``edit`` in the document ``files`` beside it."""
    suffix = ".py" if language == "python" else ".ts"
    files = EditedText(FILES if language == "python" else "export function load() {}\n", language)
    files.path, files.uri = f"/project/files{suffix}", f"file:///project/files{suffix}"
    files.replace(*edit)
    document = EditedText(importing, language, files.history)
    document.others = {files.uri: files.open_text()}
    return document


@pytest.mark.parametrize(
    ("language", "before", "after"),
    [
        ("python", "from files import load\n\nload(load)\n", "from files import read\n\nread(read)\n"),
        ("python", "from .files import load as get\n\nget(load)\n", "from .files import read as get\n\nget(load)\n"),
        ("python", "from files import read\n\nload(1)\n", "from files import read\n\nread(1)\n"),
        ("python", "from other import load\n\nload(1)\n", None),
        ("python", "from files import load\n\nread = load\n", None),
        ("typescript", 'import { load } from "./files";\nload();\n', 'import { read } from "./files";\nread();\n'),
        (
            "typescript",
            'import { load } from "./files";\nexport { load };\nuse({ load });\n',
            'import { read } from "./files";\nexport { read as load };\nuse({ load: read });\n',
        ),
        ("typescript", 'import { load } from "./file";\nload();\n', None),
    ],
)
def test_renamed_name_of_another_file_is_followed(language: str, before: str, after: str | None) -> None:
    assert edit_two_files(before, language=language).accept_all() == (after or before)


def test_change_that_is_no_definition_is_not_followed_elsewhere() -> None:
    document = edit_two_files("from files import load\n\nload(1)\n", ("x = load", "x = read"))
    assert document.proposals() == []
