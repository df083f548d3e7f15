"""What binds a name in the syntax trees of a language, and where the binding is visible.

One entry for each grammar for which renames are followed; node types are those of the tree-sitter grammars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BindingKind = Literal["", "function", "class", "parameter", "variable", "import"]


@dataclass(frozen=True, slots=True)
class ScopeRules:
    """``scopes``: node type -> fields whose contents are inside the scope; none: all of the node is.

    ``bindings``: type of the parent -> field of the name (empty: any child) -> kind.
    """

    variables: frozenset[str]
    """Types of leaves that may refer to a variable, a function or a type."""
    scopes: Mapping[str, frozenset[str]]
    bindings: Mapping[str, Mapping[str, BindingKind]]
    patterns: frozenset[str]
    """Nodes between a bound name and the node in ``bindings``."""
    members: Mapping[str, tuple[str, str]]
    """Types of member accesses -> fields of the object and of the member."""
    calls: Mapping[str, tuple[str, str]]
    """Types of calls -> fields of the function and of the arguments."""
    member_leaves: frozenset[str] = frozenset()
    """Types of leaves that are names of members only."""
    member_bindings: Mapping[str, str] = field(default_factory=dict)
    """Types of definitions in a class -> field of the member's name."""
    classes: frozenset[str] = frozenset()
    """Scopes whose members are accessed through ``self_names``."""
    self_names: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    """Scopes in which a name of an enclosing class is not visible, and to which ``hoisted`` names belong."""
    hoisted: frozenset[str] = frozenset()
    """Declarations that bind in the enclosing function, not in the block."""
    shorthands: frozenset[str] = frozenset()
    """Leaves that are the name of a property and of a variable at once; renamed they become ``old: new``."""
    ignored_parents: Mapping[str, str] = field(default_factory=dict)
    """Types of parents -> field (empty: any) of a name that is neither a variable nor followed otherwise."""
    is_rebinding_same: bool = False
    """A second binding in a scope is the same variable; elsewhere it is an overload or hides the first one."""


def _all(*names: str) -> frozenset[str]:
    return frozenset(names)


_NO_FIELDS: frozenset[str] = frozenset()

PYTHON = ScopeRules(
    variables=_all("identifier"),
    scopes={
        "module": _NO_FIELDS,
        "function_definition": _all("parameters", "body"),
        "lambda": _all("parameters", "body"),
        "class_definition": _all("body"),
        "list_comprehension": _NO_FIELDS,
        "set_comprehension": _NO_FIELDS,
        "dictionary_comprehension": _NO_FIELDS,
        "generator_expression": _NO_FIELDS,
    },
    bindings={
        "function_definition": {"name": "function"},
        "class_definition": {"name": "class"},
        "parameters": {"": "parameter"},
        "lambda_parameters": {"": "parameter"},
        "default_parameter": {"name": "parameter"},
        "typed_parameter": {"": "parameter"},
        "typed_default_parameter": {"name": "parameter"},
        "assignment": {"left": "variable"},
        "augmented_assignment": {"left": "variable"},
        "named_expression": {"name": "variable"},
        "for_statement": {"left": "variable"},
        "for_in_clause": {"left": "variable"},
        "as_pattern": {"alias": "variable"},
        "aliased_import": {"alias": "import"},
    },
    patterns=_all(
        "list_splat_pattern",
        "dictionary_splat_pattern",
        "tuple_pattern",
        "list_pattern",
        "pattern_list",
        "as_pattern_target",
    ),
    members={"attribute": ("object", "attribute")},
    calls={"call": ("function", "arguments")},
    classes=_all("class_definition"),
    self_names=_all("self", "cls"),
    functions=_all(
        "function_definition",
        "lambda",
        "list_comprehension",
        "set_comprehension",
        "dictionary_comprehension",
        "generator_expression",
    ),
    ignored_parents={"keyword_pattern": ""},
    is_rebinding_same=True,
)

_SCRIPT_FUNCTIONS = _all(
    "function_declaration",
    "function_expression",
    "generator_function",
    "generator_function_declaration",
    "arrow_function",
    "method_definition",
)
_SHORTHANDS = _all("shorthand_property_identifier", "shorthand_property_identifier_pattern")
SCRIPT = ScopeRules(
    variables=_all("identifier", "type_identifier", *_SHORTHANDS),
    scopes={
        "program": _NO_FIELDS,
        **dict.fromkeys(_SCRIPT_FUNCTIONS, _all("parameters", "parameter", "return_type", "body")),
        "class_body": _NO_FIELDS,
        "statement_block": _NO_FIELDS,
        "switch_body": _NO_FIELDS,
        "for_statement": _NO_FIELDS,
        "for_in_statement": _NO_FIELDS,
        "catch_clause": _NO_FIELDS,
    },
    bindings={
        "function_declaration": {"name": "function"},
        "generator_function_declaration": {"name": "function"},
        "function_signature": {"name": "function"},
        "class_declaration": {"name": "class"},
        "interface_declaration": {"name": "class"},
        "type_alias_declaration": {"name": "class"},
        "enum_declaration": {"name": "class"},
        "formal_parameters": {"": "parameter"},
        "required_parameter": {"pattern": "parameter"},
        "optional_parameter": {"pattern": "parameter"},
        "arrow_function": {"parameter": "parameter"},
        "catch_clause": {"parameter": "parameter"},
        "variable_declarator": {"name": "variable"},
        "for_in_statement": {"left": "variable"},
        "import_clause": {"": "import"},
        "namespace_import": {"": "import"},
    },
    patterns=_all(
        "array_pattern",
        "object_pattern",
        "pair_pattern",
        "rest_pattern",
        "assignment_pattern",
        "object_assignment_pattern",
    ),
    members={"member_expression": ("object", "property")},
    calls={"call_expression": ("function", "arguments"), "new_expression": ("constructor", "arguments")},
    member_leaves=_all("property_identifier"),
    member_bindings={"method_definition": "name", "field_definition": "property", "public_field_definition": "name"},
    classes=_all("class_body"),
    self_names=_all("this"),
    functions=_SCRIPT_FUNCTIONS,
    hoisted=_all("variable_declaration"),
    shorthands=_SHORTHANDS,
    ignored_parents={"namespace_export": "", "labeled_statement": "label", "break_statement": "label"},
)

_GO_FUNCTIONS = _all("function_declaration", "method_declaration", "func_literal")
GO = ScopeRules(
    variables=_all("identifier", "type_identifier"),
    scopes={
        "source_file": _NO_FIELDS,
        **dict.fromkeys(_GO_FUNCTIONS, _all("receiver", "parameters", "result", "body", "type_parameters")),
        "block": _NO_FIELDS,
        "if_statement": _NO_FIELDS,
        "for_statement": _NO_FIELDS,
        "expression_switch_statement": _NO_FIELDS,
        "type_switch_statement": _NO_FIELDS,
        "expression_case": _NO_FIELDS,
        "default_case": _NO_FIELDS,
        "type_case": _NO_FIELDS,
        "communication_case": _NO_FIELDS,
    },
    bindings={
        "function_declaration": {"name": "function"},
        "parameter_declaration": {"name": "parameter"},
        "variadic_parameter_declaration": {"name": "parameter"},
        "short_var_declaration": {"left": "variable"},
        "range_clause": {"left": "variable"},
        "var_spec": {"name": "variable"},
        "const_spec": {"name": "variable"},
        "type_spec": {"name": "class"},
    },
    patterns=_all("expression_list"),
    members={},
    calls={"call_expression": ("function", "arguments")},
    functions=_GO_FUNCTIONS,
    ignored_parents={"keyed_element": "key"},
)

_RULES: dict[str, ScopeRules] = {
    "tree_sitter_python": PYTHON,
    "tree_sitter_javascript": SCRIPT,
    "tree_sitter_typescript:language_typescript": SCRIPT,
    "tree_sitter_typescript:language_tsx": SCRIPT,
    "tree_sitter_go": GO,
}


def rules_of(grammar: str) -> ScopeRules | None:
    """The rules for a grammar, as ``Language.grammar`` names it."""
    return _RULES.get(grammar)
