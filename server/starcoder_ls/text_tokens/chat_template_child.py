"""Renders the chat template of a checkpoint around marked messages. It runs as a program of its own.

A template is another author's program: Jinja's sandbox keeps it from reading and calling what it must not, the limits
of this process end it if it needs too much time or memory. The environment is that of transformers (version 5.23,
``utils/chat_template_utils.py``), so that a template renders as its author has seen it. It imports nothing of this
package, so that it starts quickly.
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

MAX_PROMPT_CHARS = 1 << 16
_SPARE_BYTES = 128 << 20
"""Memory that a template may use beyond the interpreter."""


def main() -> int:
    """Reads the arguments of ``render`` and the limit on processor time as JSON from standard input, and writes what
    ``render`` returns."""
    request = json.load(sys.stdin)
    _limit_resources(request["cpu_limit_s"])
    json.dump(render(request["template"], request["variables"], request["messages"]), sys.stdout)
    return 0


def render(template: str, variables: dict[str, Any], messages: dict[str, str]) -> dict[str, Any]:
    """The prompt of a first question and a whole conversation, or ``problem``: why there is none, as a phrase.

    ``messages``: the texts of the messages ``system``, ``question``, ``answer`` and ``next_question``.
    ``has_system``: the prompt contains the system message. Some templates reject it, others leave it out.
    """
    try:
        compiled = _environment().from_string(template)
        system = [{"role": "system", "content": messages["system"]}]
        question = [{"role": "user", "content": messages["question"]}]
        has_system = True
        try:
            prompt = _render(compiled, [*system, *question], variables, is_question=True)
            has_system = messages["system"] in prompt
        except jinja2.TemplateError:
            has_system = False
        if not has_system:
            system = []
            prompt = _render(compiled, question, variables, is_question=True)
        turns = [
            {"role": "assistant", "content": messages["answer"]},
            {"role": "user", "content": messages["next_question"]},
        ]
        try:
            conversation = _render(compiled, [*system, *question, *turns], variables, is_question=False)
        except jinja2.TemplateError:
            conversation = ""
    except (RecursionError, MemoryError):
        return {"problem": "needs too much memory"}
    except Exception as error:  # noqa: BLE001 - whatever the program of a stranger raises
        return {"problem": f"cannot be rendered ({type(error).__name__}: {error})"[:300]}
    return {"prompt": prompt, "has_system": has_system, "conversation": conversation}


def _render(
    template: jinja2.Template, messages: list[dict[str, str]], variables: dict[str, Any], is_question: bool
) -> str:
    """Raises TemplateError for a text that is too long, and what the template raises."""
    size, pieces = 0, []
    for piece in template.generate(
        **variables, messages=messages, tools=None, documents=None, add_generation_prompt=is_question
    ):
        size += len(piece)
        if size > MAX_PROMPT_CHARS:
            raise jinja2.TemplateError(f"the prompt has more than {MAX_PROMPT_CHARS:,} characters")
        pieces.append(piece)
    return "".join(pieces)


class _GenerationBlocks(jinja2.ext.Extension):
    """``{% generation %}`` marks the assistant's words for training; here it is what it contains."""

    tags = {"generation"}  # noqa: RUF012 - as in the base class

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    # Not optimized: the time for folding constants grows with the third power of the depth of an expression.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_GenerationBlocks, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _format_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    """Raises TemplateError: how a template rejects messages."""
    raise jinja2.TemplateError(message)


def _format_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


def _limit_resources(cpu_limit_s: int) -> None:
    """Limits the processor time of this process, and its memory to what it has and some more; not on Windows."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used_bytes = int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used_bytes + _SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
