from __future__ import annotations

import sys
import unicodedata

from starcoder_ls.printable import escape_control_characters, quoted_code


def test_every_invisible_character_is_escaped() -> None:
    for number in range(sys.maxunicode + 1):
        char = chr(number)
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            escaped = escape_control_characters(f"a{char}b")
            assert escaped.isascii(), hex(number)
            assert escaped.isprintable(), hex(number)


def test_visible_text_stays() -> None:
    assert escape_control_characters("Zoë's 漢字 😀") == "Zoë's 漢字 😀"


def test_kept_characters_stay_and_others_do_not() -> None:
    assert escape_control_characters("a\nb\x1b[2J\r", keep="\n") == "a\nb\\x1b[2J\\r"


def test_quoted_code_is_one_printable_line() -> None:
    assert (quoted_code("area"), quoted_code("\uf021\n")) == ("`area`", "`\\uf021\\n`")
