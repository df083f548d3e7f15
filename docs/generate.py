"""Generates docs/settings.md and the settings of the VS Code extension from settings/schema.py.

With `--check` it only compares: it names each outdated file and exits with 1 if there is any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from starcoder_ls.settings import Settings

ROOT = Path(__file__).parents[1]
EXTENSION = ROOT / "editors" / "vscode" / "package.json"
# The headings in the settings editor of VS Code, by section.
VS_CODE_TITLES = {
    "model": "Model",
    "remote": "Model on Another Machine",
    "adapters": "Adapters",
    "inline_completion": "Suggestions",
    "next_edit": "Next Edits",
    "context": "Text of Other Files",
    "actions": "Actions",
    "feedback": "Feedback",
}
# VS Code derives the label of a setting from its key ("Inline_completion: Max_new_tokens") and has no other field
# for it: the description of each begins with a readable name.
VS_CODE_NAMES = {
    "server.command": "Server program",
    "server.trace": "Log protocol messages",
    "model.name": "Model",
    "model.revision": "Revision of the model",
    "model.tasks": "Tasks of the model",
    "model.template": "Prompt for instructions",
    "model.device": "Where the model runs",
    "model.dtype": "Precision",
    "model.quantization": "Quantization",
    "model.max_memory": "Memory limit per device",
    "model.cuda_graphs": "CUDA graphs",
    "model.compile": "Compilation for CUDA graphs",
    "model.document_ngrams": "Repetitions in the document",
    "model.offline": "Offline",
    "model.threads": "Threads",
    "adapters": "Adapters",
    "inline_completion.enabled": "Suggestions",
    "inline_completion.excluded_languages": "Languages without suggestions",
    "inline_completion.paused_languages": "Languages in which suggestions are paused",
    "inline_completion.trigger": "When suggestions appear",
    "inline_completion.excluded_regions": "Not in comments or strings",
    "inline_completion.max_lines": "Longest suggestion, in lines",
    "inline_completion.min_chars": "Shortest suggestion",
    "inline_completion.pause_while": "Pause while",
    "inline_completion.max_new_tokens": "Longest suggestion, in tokens",
    "inline_completion.prompt_tokens": "Length of the prompt",
    "inline_completion.suffix_percent": "Share of the text after the cursor",
    "inline_completion.fim_order": "Order of the prompt",
    "inline_completion.heal_words": "Complete half-typed words",
    "inline_completion.remember": "Cache of suggestions",
    "inline_completion.ahead": "Prefetch",
    "inline_completion.candidates": "Alternatives on request",
    "inline_completion.temperature": "Variety of further suggestions",
    "inline_completion.top_p": "Likely tokens only",
    "inline_completion.budget_ms": "Time budget",
    "inline_completion.min_confidence": "Least confidence",
    "inline_completion.min_confidence_in": "Least confidence, by language",
    "inline_completion.show_from": "Least probability that you keep a suggestion",
    "inline_completion.rules_off": "Disabled output rules",
    "next_edit.model": "Next edits by the model",
    "next_edit.min_confidence": "Least confidence in an edit by the model",
    "context.ignore": "Ignored files",
    "context.prompt_tokens": "Length of snippets from other files",
    "context.evidence": "Repetitions in other files",
    "context.sources": "Sources of snippets",
    "context.index_files": "Indexed files",
    "actions": "Actions on code",
    "feedback.keep": "What is kept of suggestions",
    "feedback.keep_days": "Days that records are kept",
    "remote.url": "Address of the model server",
    "remote.token_file": "File with the token",
    "remote.ca_file": "Certificate authorities",
    "remote.dialect": "Server software",
    "remote.model": "Model on the server",
    "remote.tokenizer": "Tokenizer",
    "remote.tokenizer_sha256": "Hash of the tokenizer",
    "remote.fallback": "Fallback",
    "remote.fallback_after_ms": "Time until the fallback answers",
    "remote.prefill": "Prompts in advance",
}
INTRODUCTION = """\
The settings file is written in TOML: on Linux `~/.config/starcoder-ls/settings.toml`, or the file that the environment
variable `STARCODER_LS_SETTINGS` names. `model.name` is the key `name` in its table `[model]`. Editors pass the same
keys as initialization options, and VS Code as settings with the prefix `starcoder.`; these override the file. Only the
file decides `sharing` and `log`, which concern the process that serves all editors.

This page is generated from `settings/schema.py` by `make docs`."""
# A workspace folder must not set which model runs, which prompts are sent and what is written to disk.
MACHINE_SECTIONS = ("model", "remote", "adapters", "actions", "feedback")
# Used before an editor sends its settings, for all editors alike.
FILE_SECTIONS = ("sharing", "log")
# Settings of the scope `window` that an untrusted folder must not set: `!.env*` would show files with secrets.
RESTRICTED_SETTINGS = ("context.ignore",)


def rows(settings: type[BaseModel], path: str = "") -> list[tuple[str, str, str, str]]:
    """(key, default as TOML, description, allowed values) of every setting, section by section."""
    table_rows = []
    for name, field in settings.model_fields.items():
        key = f"{path}{name}"
        if section := section_of(field.annotation):
            table_rows += rows(section, f"{key}." if section is field.annotation else f"{key}.NAME.")
        else:
            default: Any = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
            default_toml = "" if field.is_required() else as_toml(default).replace("\n", "\\n")
            text, values = " ".join((field.description or "").split()), allowed_values(field_schema(settings, name))
            table_rows.append((key, default_toml, text, values))
    return table_rows


def allowed_values(schema: dict[str, Any]) -> str:
    """The values or the range that a JSON schema allows, in words; empty for any value of the type."""
    if choices := schema.get("enum") or schema.get("items", {}).get("enum"):
        return f"{'Values' if 'enum' in schema else 'Any of'}: {', '.join(f'`{choice}`' for choice in choices)}."
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = " and ".join(f"{word} {schema[key]:,}".removesuffix(".0") for key, word in words.items() if key in schema)
    return f"{bounds.capitalize()}." if bounds else ""


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section class of a field that is a section or a table of named sections; None for other fields."""
    types = (annotation, *get_args(annotation))
    return next((type_ for type_ in types if isinstance(type_, type) and issubclass(type_, BaseModel)), None)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    return "" if value is None else str(value)


def settings_page() -> str:
    sections = ["# Settings\n", f"{INTRODUCTION}\n"]
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        assert section is not None
        path = name if section is field.annotation else f"{name}.NAME"
        sections.append(f"## {path}\n\n{' '.join((section.__doc__ or '').split())}\n")
        for key, default, text, values in rows(section, f"{path}."):
            shown_default = f"Default: {f'`{default}`' if default else 'none'}"
            sections.append(f"### `{key}`\n\n{text}\n\n{f'{shown_default}. {values}' if values else shown_default}\n")
    return "\n".join(sections)


def vs_code_properties(settings: type[BaseModel], path: str = "") -> dict[str, Any]:
    """Every setting in the schema of VS Code. A table of named sections is one setting of type object."""
    properties: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        key, section = f"{path}{name}", section_of(field.annotation)
        if section is not None and section is field.annotation:
            properties |= vs_code_properties(section, f"{key}.")
            continue
        if section is not None:
            description = f"By name. {' '.join((section.__doc__ or '').split())}"
            schema: dict[str, Any] = {"type": "object", "default": {}, "additionalProperties": table_schema(section)}
        else:
            description = " ".join((field.description or "").split())
            schema = field_schema(settings, name)
        scope = "machine" if key.split(".")[0] in MACHINE_SECTIONS else "window"
        properties[f"starcoder.{key}"] = {**schema, "markdownDescription": description, "scope": scope}
    return properties


def table_schema(section: type[BaseModel]) -> dict[str, Any]:
    """The schema of one table of ``section``, for completion and checks in settings.json.

    No key is required: the table may change a built-in one.
    """
    properties = {
        name: {**field_schema(section, name), "markdownDescription": " ".join((field.description or "").split())}
        for name, field in section.model_fields.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def field_schema(section: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON schema of one field in the form that VS Code accepts."""
    schema: dict[str, Any] = dict(section.model_json_schema()["properties"][name])
    if choices := schema.pop("anyOf", None):
        schema |= {"type": [choice["type"] for choice in choices]}
    excluded = ("title", "description")
    if not section.model_fields[name].is_required() and schema.get("type") == "object":
        schema.setdefault("default", {})
    return {key: value for key, value in schema.items() if key not in excluded}


def extension_manifest() -> str:
    """package.json of the VS Code extension with newly generated settings; its first group is that of the client.

    Raises KeyError for a setting without a name.
    """
    package = json.loads(EXTENSION.read_text(encoding="utf-8"))
    client = package["contributes"]["configuration"][0]
    of_server = vs_code_properties(Settings).items()
    of_editor = {key: schema for key, schema in of_server if key.split(".")[1] not in FILE_SECTIONS}
    properties = of_editor | client["properties"]
    for order, (key, schema) in enumerate(properties.items()):
        name = f"**{VS_CODE_NAMES[key.removeprefix('starcoder.')]}.** "  # a new setting needs a name there
        schema["markdownDescription"] = name + schema["markdownDescription"].removeprefix(name)
        schema["order"] = order  # else VS Code sorts by key
    groups = [
        {"title": title, "properties": {key: properties[key] for key in properties if key.split(".")[1] == section}}
        for section, title in VS_CODE_TITLES.items()
    ]
    package["contributes"]["configuration"] = [
        {**group, "order": order} for order, group in enumerate((client, *groups))
    ]
    restricted = ["starcoder.server.command", *(f"starcoder.{key}" for key in RESTRICTED_SETTINGS)]
    package["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = restricted
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    expected = {
        ROOT / "docs" / "settings.md": settings_page(),
        EXTENSION: extension_manifest(),
    }
    stale = [path for path, text in expected.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not match settings/schema.py: run `make docs`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(expected[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
