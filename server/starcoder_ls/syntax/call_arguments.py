"""The parameters of a function, the arguments of a call, and the calls of a function in the same text."""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.name_resolution import NameResolver, Occurrence, node_key

_PARAMETER_LISTS = ("parameters", "formal_parameters", "parameter_list")
_SPLATS = ("list_splat", "dictionary_splat", "spread_element", "list_splat_pattern", "dictionary_splat_pattern")
_WRAPPERS = ("typed_parameter", "required_parameter")
_VARIADIC = (*_SPLATS, "rest_pattern", "variadic_parameter_declaration")
_CONSTRUCTORS = (b"__init__", b"constructor")
_SEPARATORS = ("keyword_separator", "positional_separator")


@dataclass(frozen=True, slots=True)
class Parameter:
    """``name`` is empty for a pattern. ``is_variadic``: it takes any number of arguments."""

    node: Node
    name: bytes
    is_variadic: bool = False
    is_keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """``keyword`` is empty for a positional argument. ``is_splat``: it stands for any number of arguments."""

    node: Node
    keyword: bytes = b""
    is_splat: bool = False


def parameter_list_around(node: Node) -> Node | None:
    """The list of parameters of a named function that contains ``node``."""
    found: Node | None = node
    while found is not None and found.type not in _PARAMETER_LISTS:
        found = found.parent
    return found if found is not None and function_name(found) is not None else None


def function_name(parameters: Node) -> Node | None:
    """The name of the function whose parameters these are."""
    return parameters.parent.child_by_field_name("name") if parameters.parent is not None else None


def read_parameters(names: NameResolver, parameters: Node) -> list[Parameter] | None:
    """None if a parameter has a form that is not known."""
    read: list[Parameter] = []
    is_keyword_only = False
    for node in parameters.named_children:
        if node.type in _SEPARATORS:
            is_keyword_only = is_keyword_only or node.type == "keyword_separator"
            continue
        if "comment" in node.type:
            continue
        found = _names_of_parameter(node)
        if not found:
            return None
        inner = node.named_children[0] if node.type in _WRAPPERS and node.named_child_count else node
        is_variadic = inner.type in _VARIADIC
        read += [Parameter(node, names.text(name), is_variadic, is_keyword_only) for name in found]
        is_keyword_only = is_keyword_only or inner.type == "list_splat_pattern"
    return read


def _names_of_parameter(node: Node) -> list[Node]:
    if node.type == "identifier":
        return [node]
    for field in ("name", "pattern", "left"):
        found = node.children_by_field_name(field)
        if found:
            if len(found) == 1 and found[0].type in _VARIADIC:
                return _names_of_parameter(found[0])
            return found if all(each.type == "identifier" for each in found) else []
    first = node.named_children[0] if node.named_child_count else None
    if first is None:
        return []
    return [first] if first.type == "identifier" else _names_of_parameter(first)


def arguments_of(names: NameResolver, call: Node) -> Node | None:
    return call.child_by_field_name(names.rules.calls[call.type][1])


def read_arguments(names: NameResolver, call: Node) -> list[Argument] | None:
    """None for a call without a list of arguments, such as one with a generator expression alone."""
    arguments = arguments_of(names, call)
    if arguments is None or arguments.type not in ("argument_list", "arguments"):
        return None
    read = []
    for node in arguments.named_children:
        if "comment" in node.type:
            continue
        if node.type == "keyword_argument":
            name = node.child_by_field_name("name")
            read.append(Argument(node, names.text(name) if name is not None else b""))
        else:
            read.append(Argument(node, is_splat=node.type in _SPLATS))
    return read


def find_calls(names: NameResolver, inside_parameters: Node) -> list[Node]:
    """The calls of the function whose parameters contain a node."""
    parameters = parameter_list_around(inside_parameters)
    name = function_name(parameters) if parameters is not None else None
    function = names.at(name.start_byte, name.end_byte) if name is not None else None
    return calls_of(names, function) if function is not None else []


def calls_of(names: NameResolver, function: Occurrence) -> list[Node]:
    """The calls of the same function as ``function``; for a constructor, those of its class."""
    constructed = _constructed_class(names, function)
    if constructed is not None:
        function = constructed
    references = names.references(function)
    if function.key is None or sum(bool(each.kind) for each in references) != 1:  # several: overloads
        return []
    found = (names.call_of(each) for each in references if not each.kind)
    return [call for call in found if call is not None]


def parameter_lists_of(names: NameResolver, function: Occurrence) -> list[Node]:
    """The lists of parameters of ``function``; of a class, those of its constructor."""
    found: list[Node] = []
    for definition in names.references(function):
        parent = definition.node.parent
        if definition.kind != "class" or parent is None:
            found += [] if parent is None or not definition.kind else parent.children_by_field_name("parameters")
            continue
        body = parent if parent.type in names.rules.classes else parent.child_by_field_name("body")
        for name in _CONSTRUCTORS:
            for each in names.occurrences(name):
                is_own = body is not None and each.kind and each.key == node_key(body)
                if is_own and each.node.parent is not None:
                    found += each.node.parent.children_by_field_name("parameters")
    return found


def _constructed_class(names: NameResolver, function: Occurrence) -> Occurrence | None:
    """The name of the class that ``function`` constructs; None for other functions."""
    if names.text(function.node) not in _CONSTRUCTORS or function.key is None:
        return None
    node = function.node.parent
    while node is not None and (node.start_byte, node.end_byte, node.type) != function.key:
        node = node.parent
    definition = node.parent if node is not None and node.type == "class_body" else node
    name = definition.child_by_field_name("name") if definition is not None else None
    return names.at(name.start_byte, name.end_byte) if name is not None else None
