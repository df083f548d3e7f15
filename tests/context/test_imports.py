from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.context.imports import MAX_FILES, find_imported_files

FILES = [
    "pkg/__init__.py", "pkg/app.py", "pkg/models.py", "pkg/sub/__init__.py", "pkg/sub/views.py", "src/tool/cli.py",
    "web/main.ts", "web/api.ts", "web/ui/index.tsx", "web/old.js", "web/style.css",
    "go/main.go", "go/store/db.go", "go/store/db_test.go", "go/store/cache.go",
    "rs/src/main.rs", "rs/src/parser.rs", "rs/src/net/mod.rs", "rs/src/net/tcp.rs",
    "j/src/main/java/org/acme/App.java", "j/src/main/java/org/acme/util/Strings.java",
    "c/src/main.c", "c/src/main.h", "c/include/lib/list.h", "c/src/local.h",
]  # fmt: skip

CASES = [
    (
        "pkg/app.py",
        "from . import models\nfrom .sub.views import View\nimport os, pkg.sub\n",
        ["pkg/__init__.py", "pkg/models.py", "pkg/sub/views.py", "pkg/sub/__init__.py"],
    ),
    (
        "pkg/sub/views.py",
        "from ..models import (\n    User,\n    Group,\n)\nfrom pkg import app as a\n",
        ["pkg/__init__.py", "pkg/models.py", "pkg/app.py"],
    ),
    ("pkg/app.py", "import tool.cli\nfrom pkg.app import me\nimport json\n", ["src/tool/cli.py"]),
    (
        "web/main.ts",
        "import {x} from './api'\nimport UI from \"./ui\"\nconst o = require('./old')\nimport R from 'react'\n",
        ["web/api.ts", "web/ui/index.tsx", "web/old.js"],
    ),
    ("go/main.go", 'import (\n\t"fmt"\n\tst "example.com/x/store"\n)\n', ["go/store/cache.go", "go/store/db.go"]),
    (
        "rs/src/main.rs",
        "mod parser;\nuse crate::net::tcp::Stream;\nuse std::io;\n",
        ["rs/src/parser.rs", "rs/src/net/tcp.rs", "rs/src/net/mod.rs"],
    ),
    (
        "j/src/main/java/org/acme/App.java",
        "import org.acme.util.Strings;\nimport java.util.List;\n",
        ["j/src/main/java/org/acme/util/Strings.java"],
    ),
    (
        "c/src/main.c",
        '#include "local.h"\n#include <lib/list.h>\n#include <stdio.h>\n',
        ["c/src/main.h", "c/src/local.h", "c/include/lib/list.h"],
    ),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "go" / "go.mod").write_text("module example.com/x\n")
    (tmp_path / "rs" / "Cargo.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_existing_imports_are_found(project: Path, name: str, text: str, expected: list[str]) -> None:
    found = [path.relative_to(project).as_posix() for path in find_imported_files(project / name, text, [project])]
    assert sorted(found) == sorted(expected)


def test_imports_outside_the_workspace_are_not_found(project: Path) -> None:
    inside = project / "pkg"
    text = "from ..web import x\nimport tool.cli\nfrom ......... import x\n"
    assert find_imported_files(inside / "app.py", text, [inside]) == []
    assert find_imported_files(project / "web" / "main.ts", "import '../../../../../../etc/passwd'\n", [project]) == []
    assert find_imported_files(project / "pkg" / "app.py", "import pkg.models\n", []) == []
    assert find_imported_files(Path(""), "import pkg", [project]) == []


def test_unknown_language_has_no_imports_and_others_at_most_the_limit(project: Path) -> None:
    assert find_imported_files(project / "a.txt", "import pkg", [project]) == []
    for number in range(40):
        (project / "pkg" / f"m{number}.py").write_text("")
    text = "\n".join(f"import pkg.m{number}" for number in range(40))
    assert len(find_imported_files(project / "pkg" / "app.py", text, [project])) == MAX_FILES
