"""Every language that the package knows, one entry each, found by an editor's language id or by a file's name.

A language without an entry gets the rules of ``UNKNOWN``, which fit most languages.
"""

from __future__ import annotations

import os
from dataclasses import replace

from starcoder_ls.languages.language import DocComment, ImportRule, Language

_BLOCK_DOC = DocComment("/**", " * ", " */")
_SLASHES_DOC = DocComment(line="/// ")
_HASH_DOC = DocComment(line="# ")
_DASHES_DOC = DocComment(line="-- ")
_SEMICOLONS_DOC = DocComment(line=";; ")

UNKNOWN = Language(line_comments=("//", "#"), block_opener=r"[{:]", has_optional_semicolons=True)
"""The rules for a language that has no entry."""

_DIRECTIVE = r"^[ \t]*#(?:\\.|[^\\\n])*"

_ECMASCRIPT = Language(
    family="ecmascript",
    import_rule=ImportRule.ECMASCRIPT,
    doc_comment=_BLOCK_DOC,
    multiline_quotes=("`",),
    interpolation="${",
    interpolated_string="`",
    angle_brackets="types",
    has_regex_literals=True,
    has_method_chains=True,
    has_optional_semicolons=True,
)
_C = Language(
    family="c",
    import_rule=ImportRule.INCLUDE,
    doc_comment=_BLOCK_DOC,
    has_character_literals=True,
    angle_brackets="types",
    directive=_DIRECTIVE,
)
_OBJECTIVE_C = replace(
    _C, directive=rf"{_DIRECTIVE}|^@(?:interface|implementation|protocol|optional|required|end)\b[^\n{{;]*"
)
_JVM = Language(
    family="jvm",
    import_rule=ImportRule.JVM,
    doc_comment=_BLOCK_DOC,
    multiline_quotes=('"""',),
    angle_brackets="types",
    has_character_literals=True,
)
_MARKUP = Language(
    line_comments=(),
    block_comments=(("<!--", "-->"),),
    quotes="",
    angle_brackets="tags",
    block_opener=r"<[a-zA-Z][^<>/]*>",
    block_closer=r"</",
    is_prose=True,
    function_rule="none",
)
_CONFIGURATION = Language(
    line_comments=("#",),
    block_comments=(),
    doc_comment=_HASH_DOC,
    block_opener=r"[:{(\[]",
    function_rule="none",
)
_HASH = replace(UNKNOWN, line_comments=("#",), block_comments=(), doc_comment=_HASH_DOC)
_DASHES = replace(UNKNOWN, line_comments=("--",), block_comments=(), doc_comment=_DASHES_DOC)
_LISP = replace(
    UNKNOWN, line_comments=(";",), block_comments=(), doc_comment=_SEMICOLONS_DOC, quotes='"', function_rule="none"
)

PYTHON = Language(
    "python",
    ("py", "python3"),
    name="Python",
    suffixes=(".py", ".pyi"),
    family="python",
    import_rule=ImportRule.PYTHON,
    grammar="tree_sitter_python",
    line_comments=("#",),
    block_comments=(),
    multiline_quotes=('"""', "'''"),
    interpolation="{",
    interpolated_string=r"(?<!\w)(?:[fF][rR]?|[rR][fF])(?:\"\"\"|'''|[\"'])",
    is_scanner_exact=True,
    block_opener=r":",
    block_closer=r"[)\]}]+[,:]?\s*\Z",
    has_indented_blocks=True,
    function_rule="indentation",
    blank_lines_between_functions=2,
)

# fmt: off
LANGUAGES: tuple[Language, ...] = (
    PYTHON,
    replace(PYTHON, id="cython", aliases=(), name="Cython", suffixes=(".pyx",), grammar="", import_rule=None),
    replace(_ECMASCRIPT, id="javascript", aliases=("js", "js2"), name="JavaScript", suffixes=(".js", ".mjs", ".cjs"),
        grammar="tree_sitter_javascript"),
    replace(_ECMASCRIPT, id="javascriptreact", aliases=("javascript.jsx", "jsx", "rjsx"), name="JavaScript",
        suffixes=(".jsx",), grammar="tree_sitter_javascript"),
    replace(_ECMASCRIPT, id="typescript", aliases=("ts",), name="TypeScript", suffixes=(".ts", ".mts", ".cts"),
        grammar="tree_sitter_typescript:language_typescript"),
    replace(_ECMASCRIPT, id="typescriptreact", aliases=("typescript.tsx", "tsx"), name="TypeScript",
        suffixes=(".tsx",), grammar="tree_sitter_typescript:language_tsx"),
    replace(_MARKUP, id="vue", suffixes=(".vue",), family="ecmascript", import_rule=ImportRule.ECMASCRIPT,
        function_rule="braces", has_optional_semicolons=True),
    replace(_MARKUP, id="svelte", suffixes=(".svelte",), family="ecmascript", import_rule=ImportRule.ECMASCRIPT,
        function_rule="braces", has_optional_semicolons=True),
    replace(_JVM, id="java", name="Java", suffixes=(".java",), grammar="tree_sitter_java"),
    replace(_JVM, id="kotlin", aliases=("kt",), name="Kotlin", suffixes=(".kt", ".kts"), interpolation="${",
        interpolated_string='"',
        has_optional_semicolons=True, function_head=r"\b(?:fun|constructor|init)\b"),
    replace(_JVM, id="scala", interpolation="${",
        interpolated_string=r'\b[sf]"', suffixes=(".scala",), has_optional_semicolons=True,
        function_head=r"\bdef\b"),
    replace(_JVM, id="groovy", suffixes=(".groovy",), file_names=("jenkinsfile", "jenkinsfile."),
        interpolation="${", interpolated_string='"',
        multiline_quotes=('"""', "'''"), has_character_literals=False,
        has_optional_semicolons=True),
    Language("go", ("golang",), name="Go", suffixes=(".go",), family="go", import_rule=ImportRule.GO,
        grammar="tree_sitter_go", doc_comment=DocComment(line="// "), multiline_quotes=("`",),
        has_character_literals=True, has_optional_semicolons=True, requires_tabs=True,
        function_head=r"\bfunc\b"),
    Language("rust", ("rs", "rustic"), name="Rust", suffixes=(".rs",), family="rust",
        import_rule=ImportRule.RUST, angle_brackets="types",
        grammar="tree_sitter_rust", doc_comment=_SLASHES_DOC, quotes="", multiline_quotes=('"',),
        has_character_literals=True, has_method_chains=True, directive=r"#!\[(?:[^\[\]]|\[[^\[\]]*\])*\]",
        function_head=r"\bfn\b"),
    replace(_C, id="c", name="C", suffixes=(".c", ".h"), grammar="tree_sitter_c"),
    replace(_C, id="cpp", aliases=("c++",), name="C++", suffixes=(".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
        grammar="tree_sitter_cpp"),
    replace(_C, id="cuda-cpp", aliases=("cuda",), suffixes=(".cu", ".cuh")),
    replace(_OBJECTIVE_C, id="objective-c", aliases=("objc", "objectivec"), suffixes=(".m",)),
    replace(_OBJECTIVE_C, id="objective-cpp", aliases=("objcpp", "objc++"), suffixes=(".mm",)),
    Language("csharp", ("cs", "c-sharp", "c_sharp", "c#"), name="C#", suffixes=(".cs",), family="dotnet",
        doc_comment=_SLASHES_DOC, has_character_literals=True, angle_brackets="types", interpolation="{",
        interpolated_string=r'(?:\$@?|@\$)"', directive=_DIRECTIVE),
    replace(UNKNOWN, id="fsharp", aliases=("f#",), suffixes=(".fs",), family="dotnet", line_comments=("//",),
        block_comments=(("(*", "*)"),), doc_comment=_SLASHES_DOC, has_character_literals=True, function_rule="none"),
    replace(UNKNOWN, id="vb", aliases=("vbnet",), line_comments=("'",), block_comments=(), quotes='"',
        function_rule="none"),
    Language("swift", name="Swift", suffixes=(".swift",), family="swift", angle_brackets="types",
        interpolation="\\(", interpolated_string='"', doc_comment=_SLASHES_DOC, quotes='"',
        multiline_quotes=('"""',), has_optional_semicolons=True,
        function_head=r"\b(?:func|init|deinit|subscript)\b"),
    Language("dart", suffixes=(".dart",), family="dart", angle_brackets="types", interpolation="${",
        interpolated_string="[\"']", doc_comment=_SLASHES_DOC,
        multiline_quotes=('"""', "'''")),
    replace(UNKNOWN, id="zig", suffixes=(".zig",), family="zig", line_comments=("//",), block_comments=(),
        doc_comment=_SLASHES_DOC, has_character_literals=True, function_head=r"\bfn\b"),
    replace(UNKNOWN, id="proto", aliases=("proto3", "protobuf"), suffixes=(".proto",), family="proto",
        line_comments=("//",), doc_comment=DocComment(line="// ")),
    Language("php", ("php-only",), name="PHP", suffixes=(".php",), family="php", line_comments=("//", "#"),
        doc_comment=_BLOCK_DOC, block_opener=r"[{:]", directive=r"<\?(?:php\b|=)?", function_head=r"\bfunction\b"),
    replace(_HASH, id="perl", aliases=("cperl",), suffixes=(".pl", ".pm"), family="perl",
        function_head=r"\bsub\b"),
    Language("ruby", ("rb", "enh-ruby"), name="Ruby", suffixes=(".rb", ".rake", ".gemspec"),
        file_names=("rakefile", "gemfile", "guardfile", "capfile", "vagrantfile", "podfile", "fastfile", "brewfile"),
        family="ruby", line_comments=("#",),
        interpolation="#{", interpolated_string='"',
        block_comments=(), doc_comment=_HASH_DOC,
        block_opener=r"(?:\bdo|\bthen|\belse|^\s*(?:def|class|module)\b.*|\|)", block_closer=r"(?:end|else)\b",
        function_rule="none"),
    Language("lua", name="Lua", suffixes=(".lua",), family="lua", line_comments=("--",),
        block_comments=(("--[[", "]]"),), doc_comment=DocComment(line="--- "),
        block_opener=r"(?:\bdo|\bthen|\belse|\bfunction\b.*\))", block_closer=r"(?:end|else)\b",
        function_rule="none"),
    Language("shellscript", ("sh", "bash", "zsh", "ksh", "shell"), name="shell", suffixes=(".sh", ".bash", ".zsh"),
        family="shellscript", grammar="tree_sitter_bash", interpolation="${", interpolated_string='"',
        line_comments=("#",), block_comments=(),
        comment_needs_blank=True, doc_comment=_HASH_DOC, quotes="", multiline_quotes=('"', "'"),
        block_opener=r"(?:\bthen|\bdo|\belse|\bin|\{)", block_closer=r"(?:fi|done|esac|else|elif|;;|\}|\))(?!\w)",
        block_end_words=("fi", "done", "esac", "end"), has_optional_semicolons=True,
        function_head=r"\bfunction\b|[\w-]+\s*\(\s*\)\s*\Z"),
    replace(_HASH, id="powershell", aliases=("ps1", "pwsh"), suffixes=(".ps1", ".psm1"),
        block_comments=(("<#", "#>"),), function_head=r"(?i:\bfunction\b)"),
    Language("sql", ("mysql", "plsql", "pgsql"), name="SQL", suffixes=(".sql",), family="sql", line_comments=("--",),
        doc_comment=_DASHES_DOC, quotes="", multiline_quotes=("'", "$$"), block_opener=r"(?:\(|\bBEGIN|\bbegin)",
        function_rule="none"),
    replace(_MARKUP, id="html", aliases=("xhtml", "mhtml", "htmldjango"), name="HTML", suffixes=(".html",),
        family="web", grammar="tree_sitter_html"),
    replace(_MARKUP, id="xml", aliases=("nxml", "xsl", "xslt", "svg"), suffixes=(".xml",), is_data=True),
    Language("css", name="CSS", suffixes=(".css",), family="web", line_comments=(), doc_comment=_BLOCK_DOC),
    replace(UNKNOWN, id="scss", suffixes=(".scss",), family="web", line_comments=("//",), doc_comment=_BLOCK_DOC),
    replace(_MARKUP, id="markdown", aliases=("md", "gfm"), suffixes=(".md",), block_opener=r"(?!)",
        block_closer=r"[)\]}]"),
    Language("plaintext", ("text", "txt"), name="", suffixes=(".txt",),
        line_comments=(), block_comments=(), quotes="",
        block_opener=r"(?!)", is_prose=True, is_data=True, function_rule="none"),
    Language("json", ("js-json",), suffixes=(".json",), line_comments=(), block_comments=(), quotes='"',
        block_opener=r"[{\[]", function_rule="none", is_data=True),
    Language("jsonc", suffixes=(".jsonc",), quotes='"', block_opener=r"[{\[]", function_rule="none", is_data=True),
    replace(_CONFIGURATION, id="yaml",
        aliases=("yml", "yaml.docker-compose", "yaml.gitlab", "yaml.ansible", "dockercompose"),
        suffixes=(".yaml", ".yml"), is_data=True),
    replace(_CONFIGURATION, id="toml", aliases=("conf-toml",), suffixes=(".toml",), is_data=True),
    replace(_CONFIGURATION, id="makefile",
        aliases=("make", "makefile-gmake", "makefile-bsdmake", "makefile-automake"), suffixes=(".mk", ".mak"),
        file_names=("makefile", "makefile.", "gnumakefile", "bsdmakefile"),
        recipe_opener=r"(?!\.[A-Z_]+\s*:)[^\s#:=][^#:=]*::?(?![:=])"),
    replace(_CONFIGURATION, id="dockerfile", aliases=("docker",), suffixes=(".dockerfile",),
        file_names=("dockerfile", "dockerfile.", "containerfile", "containerfile."), function_rule="braces",
        has_optional_semicolons=True),
    replace(_HASH, id="r", aliases=("ess-r",), suffixes=(".r",), family="r", function_head=r"\bfunction\b|\\\("),
    replace(_HASH, id="julia", suffixes=(".jl",), family="julia", function_rule="none"),
    replace(_HASH, id="elixir", suffixes=(".ex", ".exs"), family="beam", function_rule="none"),
    replace(UNKNOWN, id="erlang", suffixes=(".erl",), family="beam", line_comments=("%",), block_comments=(),
        function_rule="none"),
    replace(_HASH, id="nim", suffixes=(".nim",), function_rule="none"),
    replace(_HASH, id="coffeescript", aliases=("coffee",), suffixes=(".coffee",), function_rule="none"),
    replace(_HASH, id="gdscript", suffixes=(".gd",), function_rule="none"),
    replace(_DASHES, id="haskell", suffixes=(".hs",), family="haskell", block_comments=(("{-", "-}"),),
        has_character_literals=True, function_rule="none"),
    replace(_DASHES, id="elm", block_comments=(("{-", "-}"),), has_character_literals=True, suffixes=(".elm",),
        function_rule="none"),
    replace(_DASHES, id="ada", has_character_literals=True, function_rule="none"),
    replace(_DASHES, id="vhdl", has_character_literals=True, function_rule="none"),
    replace(UNKNOWN, id="ocaml", aliases=("tuareg", "caml", "ocaml.interface", "ocamlinterface", "ocaml-interface"),
        suffixes=(".ml", ".mli"), family="ocaml", line_comments=(), block_comments=(("(*", "*)"),),
        has_character_literals=True, function_rule="none"),
    replace(_LISP, id="clojure", aliases=("clojurescript", "clojurec"), suffixes=(".clj", ".cljs", ".cljc")),
    replace(_LISP, id="lisp", aliases=("common-lisp", "commonlisp")),
    replace(_LISP, id="scheme"),
    replace(_LISP, id="racket", suffixes=(".rkt",)),
    replace(_LISP, id="emacs-lisp", aliases=("elisp",), suffixes=(".el",)),
    replace(UNKNOWN, id="latex", aliases=("tex", "plaintex", "plain-tex"), suffixes=(".tex",), line_comments=("%",),
        block_comments=(), comment_needs_blank=True, function_rule="none"),
    replace(UNKNOWN, id="matlab", aliases=("octave",), line_comments=("%",), block_comments=(("%{", "%}"),),
        function_rule="none"),
    replace(UNKNOWN, id="fortran", aliases=("f90",), line_comments=("!",), block_comments=(), function_rule="none"),
    replace(UNKNOWN, id="pascal", line_comments=("//",), block_comments=(("{", "}"), ("(*", "*)")),
        function_rule="none"),
    replace(UNKNOWN, id="verilog", line_comments=("//",), doc_comment=DocComment(line="// "),
        has_character_literals=True, function_rule="none"),
    replace(UNKNOWN, id="systemverilog", line_comments=("//",), doc_comment=DocComment(line="// "),
        has_character_literals=True, function_rule="none"),
    replace(UNKNOWN, id="vim", aliases=("viml",), suffixes=(".vim",), line_comments=(), block_comments=(),
        doc_comment=DocComment(line='" '), function_rule="none"),
)
# fmt: on

_BY_ID = {name: language for language in LANGUAGES for name in (language.id, *language.aliases)}
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
_BY_FILE_NAME = {name: language for language in LANGUAGES for name in language.file_names}

SOURCE_SUFFIXES = frozenset(suffix for suffix, language in _BY_SUFFIX.items() if not language.is_data)
"""The suffixes of source code and documentation, as opposed to data and settings."""


def by_id(language_id: str) -> Language:
    """The entry for an id as an editor sends it, whatever its case; ``UNKNOWN`` where there is none."""
    return _BY_ID.get(language_id) or _BY_ID.get(language_id.lower(), UNKNOWN)


def language_ids() -> list[str]:
    """Every id that ``by_id`` knows."""
    return list(_BY_ID)


def by_path(path: str) -> Language:
    """The entry for a file by its name or suffix; ``UNKNOWN`` where there is none."""
    name = os.path.basename(path).lower()
    stem, suffix = os.path.splitext(name)
    return _BY_FILE_NAME.get(name) or _BY_SUFFIX.get(suffix) or _BY_FILE_NAME.get(f"{stem}.", UNKNOWN)


def prompt_name(language_id: str) -> str:
    """How a prompt names the language; the id itself where the table has no name for it."""
    name = by_id(language_id).name
    return language_id if name is None else name


def normalize_id(language_id: str) -> str:
    """The table's id for an id as an editor sends it; the same id where the table has none."""
    return by_id(language_id).id or language_id
