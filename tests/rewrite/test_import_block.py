from __future__ import annotations

import pytest

from starcoder_ls.rewrite import edits, import_block
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax.import_names import ImportedName
from starcoder_ls.syntax.items import read_items


def add(text: str, language: str, *statements: str) -> str:
    """The text after the imports are added; the target is its last line."""
    start = text.rstrip("\r\n").rfind("\n") + 1
    target = Target(text, start, len(text), language)
    items = read_items(text, language)
    assert items is not None
    names = [ImportedName("x", statement) for statement in statements]
    return edits.apply_changes(text, import_block.add_imports(target, items, names))


@pytest.mark.parametrize(
    ("language", "before", "added", "after"),
    [
        ("python", "import a\r\nx = 1\r\n", "import b", "import a\r\nimport b\r\nx = 1\r\n"),
        ("python", "# licence\n\n# x is one\nx = 1\n", "import b", "# licence\n\nimport b\n\n# x is one\nx = 1\n"),
        ("python", "# x is one\nx = 1\n", "import b", "import b\n\n\n# x is one\nx = 1\n"),
        ("python", "import a\nx = 1\nimport c\ny = 1", "import b", "import a\nx = 1\nimport c\nimport b\ny = 1"),
        ("javascript", "'use strict';\nf();", "import 'b';", "'use strict';\n\nimport 'b';\nf();"),
        ("rust", "//! Docs.\n#![allow(x)]\nfn f() {}", "use b;", "//! Docs.\n#![allow(x)]\n\nuse b;\nfn f() {}"),
        ("go", 'package a\n\nimport "c"\nvar x = 1', 'import "b"', 'package a\n\nimport "c"\nimport "b"\nvar x = 1'),
        ("rust", "//! Docs.\n\nfn f() {}", "use b;", "//! Docs.\n\nuse b;\n\nfn f() {}"),
        ("rust", "//! Docs.\n//! More.\nfn f() {}", "use b;", "//! Docs.\n//! More.\n\nuse b;\nfn f() {}"),
        ("rust", "/*! Docs. */\r\nfn f() {}", "use b;", "/*! Docs. */\r\n\r\nuse b;\r\nfn f() {}"),
        ("rust", "#!/bin/a\nfn f() {}", "use b;", "#!/bin/a\n\nuse b;\nfn f() {}"),
        ("rust", "/// Of f.\nfn f() {}", "use b;", "use b;\n\n/// Of f.\nfn f() {}"),
        ("typescript", "#!/bin/a\nf();", "import 'b';", "#!/bin/a\n\nimport 'b';\nf();"),
        ("python", "# -*- coding: utf-8 -*-\nx = 1", "import b", "# -*- coding: utf-8 -*-\n\nimport b\nx = 1"),
        ("python", "#!/a\n# coding=utf-8\nx = 1", "import b", "#!/a\n# coding=utf-8\n\nimport b\nx = 1"),
        ("python", "#!/a\n# x\n# coding: f\nx = 1", "import b", "#!/a\n\nimport b\n# x\n# coding: f\nx = 1"),
        ("python", "x = 1", "", "x = 1"),
    ],
)
def test_imports_go_below_those_of_the_document(language: str, before: str, added: str, after: str) -> None:
    assert add(before, language, *([added] if added else [])) == after


def test_only_used_and_unknown_names_are_missing() -> None:
    document = read_items("import os\nfrom a import b\ndef f(): pass\n", "python")
    offered = read_items("import os.path, sys, re\nfrom c import b, d, f\n", "python")
    assert document is not None
    assert offered is not None
    names = import_block.imported_names(offered, "python")
    missing = import_block.find_missing(names, {"os", "re", "b", "d", "f"}, document, "python")
    assert [name.statement for name in missing] == ["import re", "from c import d"]
