"""Which positions of a Python file mean the same name, according to Python itself: the reference for replayed renames.

Decides by ``ast`` and ``symtable``, independently of the syntax trees that the server uses. Names in global, nonlocal,
import and except statements are left out, because ``ast`` does not tell where they are.
"""

from __future__ import annotations

import ast
import symtable
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_COMPREHENSIONS = {
    ast.ListComp: "listcomp",
    ast.SetComp: "setcomp",
    ast.DictComp: "dictcomp",
    ast.GeneratorExp: "genexpr",
}
_Chain: TypeAlias = list[symtable.SymbolTable]
_SELF = ("self", "cls")
_Key: TypeAlias = tuple[int, str]
"""The id of the symbol table that binds a name (negative: of a class, for its members), and the name."""


@dataclass(slots=True)
class Symbol:
    """``positions``: (line, column in bytes) of its occurrences, the definition first. ``calls`` are those of it."""

    name: str
    kind: str = ""
    definition: ast.AST | None = None
    positions: set[tuple[int, int]] = field(default_factory=set)
    calls: list[ast.Call] = field(default_factory=list)
    is_certain: bool = True
    definitions: int = 0
    owner: str = ""
    """The class of a method."""


class PythonScopes:
    """The symbols of ``text``. Raises SyntaxError."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.symbols: dict[_Key, Symbol] = {}
        self._keywords: list[tuple[_Key, ast.keyword]] = []
        self._used: dict[int, int] = defaultdict(int)
        module = symtable.symtable(text, "file.py", "exec")
        self._module = module
        tree = ast.parse(text)
        self._tables: dict[str, int] = {}
        self._members = Counter(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
        self._visit_all(tree.body, [module], None)
        self._add_keyword_arguments()

    def members_elsewhere(self, symbol: Symbol) -> int:
        """How many members of other objects have the name of ``symbol``, if that is a member of a class."""
        key = next(key for key, each in self.symbols.items() if each is symbol)
        if key[0] >= 0:
            return 0
        own = sum(symbol.name.encode() == _text_at(self.lines, at, symbol.name) for at in symbol.positions)
        return max(0, self._members[symbol.name] - own)

    def renamable(self) -> list[Symbol]:
        """The symbols with a definition and at least one other occurrence."""
        return [
            symbol
            for symbol in self.symbols.values()
            if symbol.is_certain and symbol.definition is not None and len(symbol.positions) > 1
            if not symbol.name.startswith("__") and symbol.name not in _SELF
        ]

    def _symbol(self, key: _Key) -> Symbol:
        return self.symbols.setdefault(key, Symbol(key[1]))

    def _key(self, name: str, chain: _Chain) -> _Key | None:
        try:
            found = chain[-1].lookup(name)
        except KeyError:  # in an annotation that is not evaluated
            return self._key_of_enclosing(name, chain)
        if found.is_declared_global() or (isinstance(chain[-1], symtable.Function) and found.is_nonlocal()):
            return None
        if found.is_local():
            return self._own_key(chain[-1], name)
        if found.is_free():
            for table in reversed(chain[:-1]):
                if table.get_type() != "class" and name in table.get_identifiers() and table.lookup(name).is_local():
                    return self._own_key(table, name)
            return None
        if name in self._module.get_identifiers() and self._module.lookup(name).is_local():
            return self._own_key(self._module, name)
        return None

    def _key_of_enclosing(self, name: str, chain: _Chain) -> _Key | None:
        for table in reversed(chain):
            is_visible = table is chain[-1] or table.get_type() != "class"
            if is_visible and name in table.get_identifiers() and table.lookup(name).is_local():
                return self._own_key(table, name)
        return None

    def _own_key(self, table: symtable.SymbolTable, name: str) -> _Key:
        return (-table.get_id() if table.get_type() == "class" else table.get_id()), name

    def _child(self, parent: symtable.SymbolTable, name: str, line: int) -> symtable.SymbolTable | None:
        for child in parent.get_children():
            if child.get_name() == name and child.get_lineno() == line and not self._used[child.get_id()]:
                self._used[child.get_id()] = 1
                return child
        return None

    def _visit_all(self, nodes: Sequence[ast.AST], chain: _Chain, owner: int | None) -> None:
        for node in nodes:
            self._visit(node, chain, owner)

    def _visit(self, node: ast.AST, chain: _Chain, owner: int | None) -> None:
        """``owner``: the id of the class around ``node``."""
        if isinstance(node, _Function | ast.Lambda):
            self._visit_function(node, chain, owner)
        elif isinstance(node, ast.ClassDef):
            self._define(node, chain, "class", _name_position(self.lines, node))
            self._visit_all([*node.decorator_list, *node.bases, *node.keywords], chain, owner)
            table = self._child(chain[-1], node.name, node.lineno)
            if table is not None:
                if chain[-1] is self._module:
                    self._tables[node.name] = table.get_id()
                self._visit_all(node.body, [*chain, table], table.get_id())
        elif isinstance(node, _Comprehension):
            self._visit_comprehension(node, chain, owner)
        else:
            self._visit_plain(node, chain, owner)

    def _visit_plain(self, node: ast.AST, chain: _Chain, owner: int | None) -> None:
        if isinstance(node, ast.Name):
            key = self._key(node.id, chain)
            if key is not None:
                self._add_occurrence(key, (node.lineno, node.col_offset), isinstance(node.ctx, ast.Store), node)
        elif isinstance(
            node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom | ast.ExceptHandler | ast.MatchAs
        ):
            self._exclude(node, chain)
        elif isinstance(node, ast.Attribute):
            self._visit_attribute(node, chain, owner)
        elif isinstance(node, ast.Call):
            key = self._called(node.func, chain, owner)
            if key is not None:
                self._symbol(key).calls.append(node)
                self._keywords += [(key, keyword) for keyword in node.keywords if keyword.arg]
        self._visit_all(list(ast.iter_child_nodes(node)), chain, owner)

    def _exclude(self, node: ast.AST, chain: _Chain) -> None:
        """Names whose position is not known: their symbols are not renamed."""
        names = getattr(node, "names", [getattr(node, "name", None)])
        for name in names:
            text = name.asname or name.name.partition(".")[0] if isinstance(name, ast.alias) else name
            if isinstance(text, str):
                key = self._key(text, chain)
                if key is not None:
                    self._symbol(key).is_certain = False
                for table in (self._module, *chain):
                    if text in table.get_identifiers():
                        self._symbol(self._own_key(table, text)).is_certain = False

    def _visit_attribute(self, node: ast.Attribute, chain: _Chain, owner: int | None) -> None:
        key = self._member_key(node, chain, owner)
        if key is not None and node.end_lineno is not None and node.end_col_offset is not None:
            column = node.end_col_offset - len(node.attr.encode())
            symbol = self._symbol(key)
            symbol.positions.add((node.end_lineno, column))
            if isinstance(node.ctx, ast.Store) and symbol.definition is None:
                symbol.definition, symbol.kind = node, "attribute"

    def _member_key(self, node: ast.Attribute, chain: _Chain, owner: int | None) -> _Key | None:
        if not isinstance(node.value, ast.Name):
            return None
        if node.value.id in _SELF:
            return None if owner is None else (-owner, node.attr)
        key = self._key(node.value.id, chain)
        if key == self._own_key(self._module, node.value.id) and node.value.id in self._tables:
            return -self._tables[node.value.id], node.attr
        return None

    def _called(self, function: ast.expr, chain: _Chain, owner: int | None) -> _Key | None:
        if isinstance(function, ast.Name):
            return self._key(function.id, chain)
        return self._member_key(function, chain, owner) if isinstance(function, ast.Attribute) else None

    def _visit_function(self, node: _Function | ast.Lambda, chain: _Chain, owner: int | None) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        outside = [each for each in (*arguments.defaults, *arguments.kw_defaults) if each is not None]
        annotations = [each.annotation for each in every if each.annotation is not None]
        if isinstance(node, ast.Lambda):
            self._visit_all([*outside, *annotations], chain, owner)
            table = self._child(chain[-1], "lambda", node.lineno)
        else:
            symbol = self._define(node, chain, "function", _name_position(self.lines, node))
            if symbol is not None and chain[-1].get_type() == "class":
                symbol.owner = chain[-1].get_name()
            returns = [node.returns] if node.returns is not None else []
            self._visit_all([*node.decorator_list, *outside, *annotations, *returns], chain, owner)
            table = self._child(chain[-1], node.name, node.lineno)
        if table is None:
            return
        inner = [*chain, table]
        for argument in every:
            key = self._own_key(table, argument.arg)
            self._add_occurrence(key, (argument.lineno, argument.col_offset), True, argument)
            self._symbol(key).kind = "parameter"
        self._visit_all([node.body] if isinstance(node, ast.Lambda) else node.body, inner, owner)

    def _visit_comprehension(self, node: _Comprehension, chain: _Chain, owner: int | None) -> None:
        self._visit(node.generators[0].iter, chain, owner)
        table = self._child(chain[-1], _COMPREHENSIONS[type(node)], node.lineno)
        if table is None:
            return
        inner = [*chain, table]
        for index, generator in enumerate(node.generators):
            rest = [generator.iter] if index else []
            self._visit_all([generator.target, *rest, *generator.ifs], inner, owner)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._visit_all(results, inner, owner)

    def _define(
        self, node: _Function | ast.ClassDef, chain: _Chain, kind: str, position: tuple[int, int]
    ) -> Symbol | None:
        key = self._key(node.name, chain)
        if key is None:
            return None
        self._add_occurrence(key, position, True, node)
        symbol = self._symbol(key)
        symbol.kind = symbol.kind if symbol.definition is not node else kind
        return symbol

    def _add_occurrence(self, key: _Key, position: tuple[int, int], is_binding: bool, node: ast.AST) -> None:
        symbol = self._symbol(key)
        symbol.positions.add(position)
        if is_binding:
            symbol.definitions += 1
            if symbol.definition is None or isinstance(symbol.definition, ast.Attribute):
                symbol.definition, symbol.kind = node, "variable"

    def _add_keyword_arguments(self) -> None:
        """The keyword arguments of parameters of functions that are defined once."""
        for key, keyword in self._keywords:
            function = self.symbols[key]
            if function.kind == "class" and function.name in self._tables:
                function = self.symbols.get((-self._tables[function.name], "__init__"), function)
            if not isinstance(function.definition, _Function) or function.definitions != 1:
                continue
            parameters = list(_parameters(function.definition))
            for symbol in self.symbols.values():
                if symbol.name == keyword.arg and symbol.kind == "parameter" and symbol.definition in parameters:
                    symbol.positions.add((keyword.lineno, keyword.col_offset))


def _text_at(lines: list[str], position: tuple[int, int], name: str) -> bytes:
    """The text of a member access: empty if a position is not behind a dot."""
    encoded, column = lines[position[0] - 1].encode(), position[1]
    return encoded[column : column + len(name.encode())] if encoded[column - 1 : column] == b"." else b""


def _parameters(function: _Function) -> Iterator[ast.arg]:
    arguments = function.args
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)


def _name_position(lines: list[str], node: _Function | ast.ClassDef) -> tuple[int, int]:
    """Where the name of a definition is: after ``def`` or ``class``."""
    encoded = lines[node.lineno - 1].encode()
    return node.lineno, encoded.index(node.name.encode(), node.col_offset + 4)


def position_of(symbol: Symbol, lines: list[str]) -> tuple[int, int]:
    """Line and column, in bytes, of the definition of ``symbol``."""
    node = symbol.definition
    if isinstance(node, _Function | ast.ClassDef):
        return _name_position(lines, node)
    if isinstance(node, ast.Attribute):
        return node.end_lineno or 0, (node.end_col_offset or 0) - len(node.attr.encode())
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
