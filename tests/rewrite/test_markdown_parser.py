from __future__ import annotations

import subprocess
import sys

from starcoder_ls.rewrite.markdown_parser import MAX_NESTING, commonmark_parser


def test_html_is_text_and_deep_nesting_is_dropped() -> None:
    parser = commonmark_parser()
    (_, inline, _) = parser.parse("<b>x</b>")
    assert [child.type for child in inline.children or ()] == ["text"]
    assert max(token.level for token in parser.parse("> " * 30 + "deep")) < MAX_NESTING


def test_server_is_imported_without_the_parser() -> None:
    code = "import sys, starcoder_ls.commands.serve; print({'markdown_it', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
