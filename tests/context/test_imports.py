from __future__ import annotations

import os
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


ADVERSARIAL = [
    ("a.py", "from " + "." * 40_000),
    ("a.py", "from a import (\n" * 2500),
    ("a.py", "import " + "a ," * 13_000),
    ("a.ts", "import" + " " * 40_000),
    ("a.ts", "import" + "(" * 40_000),
    ("a.ts", "from './" * 5000),
    ("a.ts", "import\n" * 6000),
    ("a.go", "\n" * 40_000),
    ("a.go", " a" * 20_000),
    ("a.rs", "\n" * 40_000),
    ("a.rs", "pub(" * 10_000),
    ("a.rs", "use crate" + "::a" * 13_000),
    ("A.java", "\n" * 40_000),
    ("A.java", "import " + "a." * 20_000),
    ("a.c", "#" + " " * 40_000),
    ("a.c", "\n" * 40_000),
    ("a.py", f"import {'a' * 300}\nfrom .{'b' * 5000} import c\nimport a\0b\n"),
    ("a.ts", f"import './{'../' * 100}'\nimport './a\0b'\nimport './..'\n"),
    ("a.c", f'#include "{"../" * 5000}x"\n#include ".."\n#include "\0"\n'),
    ("a.rs", "use crate::a::b;\nmod ok;\n"),
]


@pytest.mark.parametrize(("name", "text"), ADVERSARIAL, ids=[str(number) for number in range(len(ADVERSARIAL))])
def test_no_text_makes_the_search_for_imports_fail_or_last(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "Cargo.toml").write_text("")
    assert find_imported_files(tmp_path / name, text, [tmp_path]) == []


@pytest.mark.parametrize("name", ["link.py", "folder/__init__.py"])
def test_import_through_a_link_out_of_the_workspace_is_refused(tmp_path: Path, name: str) -> None:
    root, outside = tmp_path / "ws", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "__init__.py").write_text("x = 1\n")
    (root / "link.py").symlink_to(outside / "__init__.py")
    (root / "folder").symlink_to(outside)
    (root / "own.py").write_text("")
    (root / "inner.py").symlink_to("own.py")
    found = find_imported_files(
        root / "a.py", f"import {name.partition('.')[0].partition('/')[0]}\nimport inner\n", [root]
    )
    assert found == [root / "inner.py"]


def test_go_mod_that_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go.mod")
    assert find_imported_files(tmp_path / "a.go", 'import "x/y"\n', [tmp_path]) == []
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "go.mod").symlink_to("/dev/zero")
    assert find_imported_files(tmp_path / "sub" / "a.go", 'import "x/y"\n', [tmp_path]) == []
