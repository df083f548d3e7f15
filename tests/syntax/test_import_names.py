from __future__ import annotations

import pytest

from starcoder_ls.syntax.import_names import read_imported_names
from starcoder_ls.syntax.items import read_items


@pytest.mark.parametrize(
    ("language", "statement", "expected"),
    [
        ("python", "import a.b, c as d", {"a": "import a.b", "d": "import c as d"}),
        ("python", "from .a import (b, c as d)", {"b": "from .a import b", "d": "from .a import c as d"}),
        ("python", "from a import *", {"*": "from a import *"}),
        ("python", "from __future__ import annotations", {}),
        ("typescript", 'import A, { b as c, type D } from "m";', {
            "A": 'import A from "m";', "c": 'import { b as c } from "m";', "D": 'import { type D } from "m";'}),
        ("typescript", "import type { X } from 'x'", {"X": "import type { X } from 'x'"}),
        ("javascript", 'import * as E from "n";', {"E": 'import * as E from "n";'}),
        ("javascript", 'import "effects";', {}),
        ("javascript", 'const { p, q: r } = require("z");', {
            "p": 'const { p, q: r } = require("z");', "r": 'const { p, q: r } = require("z");'}),
        ("go", 'import (\n\t"a/b/v2"\n\tx "c"\n\t_ "d"\n)', {"b": 'import "a/b/v2"', "x": 'import x "c"'}),
        ("java", "import static a.b.C.d;", {"d": "import static a.b.C.d;"}),
        ("java", "import a.b.*;", {"*": "import a.b.*;"}),
        ("rust", "pub use a::{self, b::C, d::{E as F}};", {
            "a": "pub use a;", "C": "pub use a::b::C;", "F": "pub use a::d::E as F;"}),
        ("rust", "use a::*;", {"*": "use a::*;"}),
    ],
)  # fmt: skip
def test_each_name_has_a_statement_that_binds_it_alone(language: str, statement: str, expected: dict[str, str]) -> None:
    items = read_items(statement, language)
    assert items is not None
    assert items[0].fragment is not None
    found = read_imported_names(items[0].fragment, language)
    assert {name.name: name.statement for name in found} == expected


@pytest.mark.parametrize(
    ("language", "statement", "is_relative"),
    [
        ("python", "from . import a", True),
        ("python", "from a import b", False),
        ("typescript", 'import { a } from "../b";', True),
        ("typescript", 'import { a } from "@b/c";', False),
        ("javascript", 'const a = require("./a");', True),
        ("rust", "use super::a;", True),
        ("rust", "use std::a;", False),
    ],
)
def test_imports_within_a_project_are_relative(language: str, statement: str, is_relative: bool) -> None:
    items = read_items(statement, language)
    assert items is not None
    assert items[0].fragment is not None
    assert [name.is_relative for name in read_imported_names(items[0].fragment, language)] == [is_relative]
