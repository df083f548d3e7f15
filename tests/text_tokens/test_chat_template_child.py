from __future__ import annotations

import sys

import pytest

from chat_templates import CHATML, CODE_LLAMA, STARCODER2
from starcoder_ls.text_tokens.chat_template import MESSAGES
from starcoder_ls.text_tokens.chat_template_child import render


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ messages[0].content ", "TemplateSyntaxError"),
        ("{{ raise_exception('I refuse') }}", "I refuse"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__.os.popen('id') }}", "SecurityError"),
        ("{{ x.y.z }}", "UndefinedError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "needs too much memory"),
        ("{{ 'x' * 70000 }}", "more than 65,536 characters"),
        ("{% for i in range(1000000) %}{% endfor %}", "OverflowError"),
        ("{% include '/etc/passwd' %}", "no loader"),
    ],
)
def test_template_that_fails_is_a_problem(template: str, problem: str) -> None:
    assert problem in render(template, {}, MESSAGES)["problem"]


@pytest.mark.parametrize("template", [CHATML, STARCODER2, CODE_LLAMA])
def test_templates_are_rendered_as_transformers_renders_them(template: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    rendered = render(template, tokens, MESSAGES)
    roles = ("system", "question") if rendered["has_system"] else ("question",)
    messages = [{"role": "system" if name == "system" else "user", "content": MESSAGES[name]} for name in roles]
    turns = [
        {"role": "assistant", "content": MESSAGES["answer"]},
        {"role": "user", "content": MESSAGES["next_question"]},
    ]
    for conversation, is_question, key in ((messages, True, "prompt"), (messages + turns, False, "conversation")):
        [expected], _ = render_jinja_template(
            [conversation], chat_template=template, add_generation_prompt=is_question, **tokens
        )
        assert rendered[key] == expected


@pytest.mark.parametrize("level", ["a|upper", "a.b", "not a", "-a"])
def test_work_for_a_nested_expression_grows_in_proportion_to_its_depth(level: str) -> None:
    """Jinja's optimizer folds each level of an expression again for every level above it."""
    before, after = level.split("a", 1)

    def count_calls(depth: int) -> int:
        calls = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count)
        try:
            render(f"{{{{ {before * depth}a{after * depth} }}}}", {}, MESSAGES)
        finally:
            sys.setprofile(None)
        return calls

    count_calls(1)  # fills caches
    assert count_calls(40) < 2.5 * count_calls(20)
