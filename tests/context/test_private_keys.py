from __future__ import annotations

import pytest

from starcoder_ls.context.private_keys import MAX_KEY_CHARS, find_private_keys

BEGIN, END = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"
ROW = "aB3d" * 16


def find(text: str) -> list[str]:
    return [text[start:end] for start, end in find_private_keys(text, 0, len(text))]


@pytest.mark.parametrize("prefix", ["", "# ", "// ", " * ", "-- ", "> ", "+ "])
def test_unfinished_key_in_comments_ends_with_its_last_row(prefix: str) -> None:
    text = f"{prefix}{BEGIN}\n{prefix}{ROW}\n{prefix}{ROW}\ncode = 1\n"
    assert find(text) == [f"{ROW}\n{prefix}{ROW}"]


def test_code_that_names_both_marks_has_no_key() -> None:
    assert find(f"if text.startswith('{BEGIN}') and\\\n    text.endswith('{END}'): parse(text)") == []


def test_encrypted_vault_and_putty_key_are_found() -> None:
    digits = "3132" * 20
    assert find(f"$ANSIBLE_VAULT;1.1;AES256\n{digits}\n{digits}\n") == [f"{digits}\n{digits}"]
    assert find(f"Private-Lines: 1\n{ROW}\nPrivate-MAC: 1") == [ROW]


def test_key_without_end_mark_within_the_limit_ends_with_its_rows() -> None:
    text = f"{BEGIN}\n{ROW}\n" + "code()\n" * MAX_KEY_CHARS + END
    assert find(text) == [ROW]
