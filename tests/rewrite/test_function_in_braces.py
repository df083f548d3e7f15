"""Functions in all languages with braces: where they begin below other code, and which braces are none of theirs."""

from __future__ import annotations

import pytest

from starcoder_ls.languages.table import LANGUAGES, by_id
from starcoder_ls.rewrite import docstrings, edits
from starcoder_ls.rewrite.enclosing_function import find_enclosing_function
from starcoder_ls.rewrite.target import Target

ABOVE = {
    "javascript": [
        "#!/usr/bin/env node\n",
        "'use strict'\nimport a from 'a'\n",
        "const a = f(1)\nlet b = {}\n",
        "f(1\n",
    ],
    "javascriptreact": ["import a from 'a'\n"],
    "typescript": ["import a from 'a'\ntype A = B\n", "declare const a: A\n", "const [a] = f()\n"],
    "typescriptreact": ["import a from 'a'\n"],
    "vue": ["<template>\n <a>{{ b }}</a>\n</template>\n\n<script setup>\nimport a from 'a'\n"],
    "svelte": ["<script>\nlet a = 1\n"],
    "java": ["package a;\n\nimport b.C; // c\n", "// licence {\n\n/* b */\n"],
    "kotlin": ["package a\n\nimport b.C\n", "@file:A(1)\n\nval a = 1 // b\n", "val a = f(1)\n"],
    "scala": ["package a\n\nimport b.C\n", "val a = f(1)\n"],
    "groovy": ["#!/usr/bin/env groovy\n", "import a.B\n", "def a = 1\n", "apply plugin: 'a'\n"],
    "go": ['//go:build a\n\npackage b\n\nimport "c"\n', "package a\n\nvar b = f(1)\n", "package a\n\ntype B = C\n"],
    "rust": ["#![allow(a, b)]\n", "//! Docs.\n\n#![allow(\n    a,\n)]\n\nuse b;\n", "#!/usr/bin/env a\n", "a!();\n"],
    "c": [
        "#include <a.h>\n#define N 3\n\n",
        "#define A(x) \\\n  do { \\\n    b(x); \\\n  } while (0)\n",
        "int x;\n#ifdef A\n#define B {\n#endif\n\n",
        "#if A\r\n#endif\r\n",
    ],
    "cpp": ["#pragma once\n#include <a>\nusing namespace a;\n", "int a{1};\n  # define B\n", "class A;\npublic:\n"],
    "cuda-cpp": ["#include <a.h>\n"],
    "objective-c": ["#import <A/A.h>\n\n@implementation A\n\n", "@protocol A <B>\n@optional\n", "@end\n"],
    "objective-cpp": ["#import <A/A.h>\n\n@implementation A : B\n"],
    "csharp": ["#nullable enable\nusing A;\n", "#region A\n", "global using A;\nnamespace B;\n"],
    "swift": ["import A\n", "#if DEBUG\n", "let a = f(1)\n", "@State var a = 1\n"],
    "dart": ["import 'a';\n", "// a\nlibrary a;\n"],
    "zig": ['//! Docs.\nconst a = @import("a");\n'],
    "proto": ['syntax = "proto3";\n'],
    "php": ["<?php\n", "<?php\n\ndeclare(strict_types=1);\nnamespace A;\n# b\n", "<p><?= $a ?></p>\n<?php\n"],
    "perl": ["#!/usr/bin/perl\n", "#!/usr/bin/perl\n# it's {\n\nuse strict;\n# a\n", "my $a = f($h{x});\n"],
    "shellscript": ["#!/bin/sh\n", "#!/bin/sh\nset -e\n", "A=\nls dir/*\n", "b=$(c ${d})\n# it's {\n", "a &\n"],
    "powershell": [
        "$x = 1\n",
        "#Requires -Version 7\nImport-Module A\n",
        "<# a #>\nparam($a)\n",
        "$a = f(1) | b {c}\n",
    ],
    "css": ['@charset "a";\n/* b */\n'],
    "scss": ['@use "a";\n// b\n'],
    "dockerfile": ["FROM a\nRUN b(1)\n"],
    "r": ["library(x)\ny <- 3\n", "#!/usr/bin/env Rscript\n# a\n", "y <- lapply(x, f)\n"],
    "awk": ["#!/usr/bin/awk -f\n", "# it's\n"],
}
"""What may stand above the first function of a document, by language; an id without an entry is among them."""

FUNCTIONS = {
    "vue": "function f(a) {\n  ¦return a\n}",
    "java": "@A(1)\nstatic int f(int a) {\n  ¦return a;\n}",
    "kotlin": "@A(1)\nfun f(a: Int): Int {\n  ¦return a\n}",
    "scala": "def f(a: Int): Int = {\n  ¦a\n}",
    "go": "func f(a int) int {\n\t¦return a\n}",
    "rust": "#[inline]\nunsafe fn f(a: u32) -> u32 {\n  ¦a\n}",
    "objective-c": "- (int)f:(int)a\n{\n  ¦return a;\n}",
    "objective-cpp": "- (int)f:(int)a {\n  ¦return a;\n}",
    "cpp": "template <class T>\nT\nf(T a)\n{\n  ¦return a;\n}",
    "swift": "@A\nfunc f(a: Int) -> Int {\n  ¦return a\n}",
    "zig": "pub fn f(a: u8) u8 {\n  ¦return a;\n}",
    "php": "#[A(1)]\nfunction f($a) {\n  ¦return $a;\n}",
    "perl": "sub f {\n  ¦return 1;\n}",
    "shellscript": "f() {\n  ¦a\n}",
    "powershell": "function Get-A\n{\n  ¦1\n}",
    "css": "@media (a) {\n  ¦\n}",
    "r": "f <- function(a) {\n  ¦a\n}",
}
_LIKE_C = "int f(int a)\n{\n  ¦return a;\n}"
_LIKE_JAVASCRIPT = "async function f({ a }, b) {\n  ¦return a\n}"


def function_of(language: str) -> str:
    entry = by_id(language)
    default = _LIKE_JAVASCRIPT if entry.family == "ecmascript" else _LIKE_C
    return FUNCTIONS.get(language, FUNCTIONS["css"] if entry.family == "web" else default)


def function_around(text: str, language: str) -> str | None:
    """The function around ``¦``."""
    offset = text.index("¦")
    text = text.replace("¦", "")
    span = find_enclosing_function(text, offset, language)
    return text[span.start : span.end] if span else None


@pytest.mark.parametrize(
    ("language", "above"), [(language, above) for language, texts in ABOVE.items() for above in texts]
)
def test_function_begins_below_other_code(language: str, above: str) -> None:
    function = function_of(language)
    assert function_around(f"{above}{function}\n", language) == function.replace("¦", "")
    assert function_around(f"{above}\n{function}\n", language) == function.replace("¦", "")


def test_all_languages_with_braces_have_cases() -> None:
    with_braces = {language.id for language in LANGUAGES if language.function_rule == "braces"}
    assert with_braces <= ABOVE.keys()


@pytest.mark.parametrize("language", [key for key in ABOVE if by_id(key).doc_comment])
def test_doc_comment_goes_below_other_code(language: str) -> None:
    above, function = ABOVE[language][0], function_of(language)
    text = f"{above}{function}\n"
    offset = text.index("¦")
    text = text.replace("¦", "")
    span = find_enclosing_function(text, offset, language)
    assert span is not None
    target = Target(text, span.start, span.end, language)
    changes = docstrings.build_changes(target, docstrings.find_position(target), "Adds.")
    documented = edits.apply_changes(text, changes)
    assert documented.startswith(above)
    assert documented.endswith(f"{function.replace('¦', '')}\n")
    assert "Adds." in documented


@pytest.mark.parametrize(
    ("language", "inner"),
    [
        ("go", "x := 1\n\tif g(x) {\n\t\t¦h()\n\t}"),
        ("go", "¦a := g(1)\n\tb := T{1}"),
        ("go", "¦g(T{a: 1})\n\th(1)"),
        ("javascript", "const a = g(1)¦\n  const b = { x: 1 }"),
        ("javascript", "¦g({ a: h(1) })"),
        ("kotlin", "when (x) {\n    is A -> {\n ¦1 }\n  }\n  g(x) {\n ¦ }"),
        ("rust", "match a {\n    Some(b) => {\n      ¦b\n    }\n  }"),
        ("rust", "a.map(|b| {\n    ¦b\n  });"),
        ("php", "if ($x) {\n  } elseif ($y) {\n    ¦g();\n  }"),
        ("perl", "¦f($h{x}, @{$y});\n  if (%{$z}) {\n  }"),
        ("shellscript", "¦b=$(c ${d})\n  awk '{print f(1)}'"),
        ("powershell", "$a | Where-Object (b) {\n    ¦$_\n  }"),
        ("csharp", "lock (a) {\n    using (b) {\n      ¦c();\n    }\n  }"),
        ("objective-c", "@autoreleasepool {\n    @synchronized(a) {\n      ¦b();\n    }\n  }"),
    ],
)
def test_braces_inside_a_function_begin_no_function(language: str, inner: str) -> None:
    function = function_of(language).replace("¦", f"{inner}\n  ")
    marked = function.replace("¦", "")
    for offset in (number for number, character in enumerate(function) if character == "¦"):
        before = function[:offset].replace("¦", "")
        assert function_around(before + "¦" + function[offset:].replace("¦", ""), language) == marked


@pytest.mark.parametrize(
    ("language", "text", "function"),
    [
        (
            "cpp",
            "class A {\npublic slots:\n  A(int x) : x_{x}, y_{1} {\n    ¦f();\n  }\n};\n",
            "  A(int x) : x_{x}, y_{1} {\n    f();\n  }",
        ),
        (
            "javascript",
            "const a = {\n  b: { c: 1 },\n  d({ e }) {\n    ¦f()\n  },\n};\n",
            "  d({ e }) {\n    f()\n  },",
        ),
        ("typescript", "describe('a', () => {\n  ¦f()\n}, { b: 1 })\n", "describe('a', () => {\n  f()\n}, { b: 1 })"),
        ("typescript", "async f(a = {} as A) {\n  ¦b()\n}\n", "async f(a = {} as A) {\n  b()\n}"),
        ("typescript", "f(a: A): P<{ b: B }> | { c: C } {\n  ¦d()\n}\n", "f(a: A): P<{ b: B }> | { c: C } {\n  d()\n}"),
        (
            "typescript",
            "x()\nf(\n  a: A\n): P<\n  B,\n  C\n> {\n  ¦d()\n}\n",
            "f(\n  a: A\n): P<\n  B,\n  C\n> {\n  d()\n}",
        ),
        (
            "typescript",
            "x()\nfunction f<\n  A = B,\n  C\n>(d: A) {\n  ¦e()\n}\n",
            "function f<\n  A = B,\n  C\n>(d: A) {\n  e()\n}",
        ),
        ("typescript", "@A({\n  b: 1,\n})\nclass C {\n  ¦d = 1\n}\n", "class C {\n  d = 1\n}"),
        (
            "swift",
            "struct A {\n  @State var a = 1\n\n  init(b: Int) {\n    ¦a = b\n  }\n}\n",
            "  init(b: Int) {\n    a = b\n  }",
        ),
        ("kotlin", "class A {\n  val b = f(1)\n\n  fun g() {\n    ¦h()\n  }\n}\n", "  fun g() {\n    h()\n  }"),
    ],
)
def test_function_in_a_class_or_call_begins_with_its_statement(language: str, text: str, function: str) -> None:
    assert function_around(text, language) == function


REPEATED = ["@a\n", "@a({})\n", "f({},", "x={\n", "/*a*/{}", "a\n.", "} ", "\n\n\n", "case :", "#a\\\n"]


@pytest.mark.parametrize("text", REPEATED)
@pytest.mark.parametrize("language", ["typescript", "cpp", "perl"])
def test_repeated_text_is_searched_once(text: str, language: str) -> None:
    """Quadratic work would take minutes here."""
    assert find_enclosing_function(text * (90_000 // len(text)), 40_000, language) is None
