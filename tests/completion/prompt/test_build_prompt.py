from dataclasses import replace

import pytest

from fim_tokens import QWEN, STARCODER
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import FimPrompt, LatestPrompt, build_prompt
from starcoder_ls.context.snippets import PromptContext, Snippet
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Capabilities, SpecialToken, Status
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

CODE = "def double(x):\n    return \n\nprint(double(2))\n"
OFFSET = CODE.index("return ") + len("return ")
SECRET = "hunter2" + "hunter2"


class StarCoderEngine(SteppedEngine):
    def status(self) -> Status:
        return replace(super().status(), special_tokens=STARCODER)


def build(text: str = CODE, offset: int = OFFSET, options: InlineCompletion | None = None, path: str = "") -> FimPrompt:
    return build_prompt(SteppedEngine(), Cursor(text, offset, "python", path), options or InlineCompletion())


def test_prompt_has_both_sides_of_the_cursor_and_the_special_tokens() -> None:
    prompt = build(path="/home/me/proj/pkg/mod.py")
    texts = [part for part in prompt.layout.parts if isinstance(part, str)]
    assert CODE[: OFFSET - 1] in texts
    assert prompt.forced_prefix == " " == CODE[OFFSET - 1]
    assert CODE[OFFSET:].rstrip("\n") in [text.rstrip("\n") for text in texts]
    literals = {part.literal for part in prompt.layout.parts if isinstance(part, SpecialToken)}
    assert {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"} <= literals


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("pkg/mod.py", "pkg/mod.py"),
        ("src/shop/pkg/mod.py", "shop/pkg/mod.py"),
        ("c" * 90, "c" * 80),
    ],
)
def test_long_path_loses_its_first_folders(path: str, shown: str) -> None:
    prompt = build_prompt(StarCoderEngine(), Cursor(CODE, OFFSET, "python", path), InlineCompletion())
    assert f"{shown}\n" in prompt.layout.parts


def test_word_is_not_removed_for_an_engine_that_cannot_force_it() -> None:
    engine = SteppedEngine()
    engine.capabilities = Capabilities(forced_prefix=False)
    prompt = build_prompt(engine, Cursor(CODE, OFFSET, "python"), InlineCompletion())
    request = prompt.completion_request(InlineCompletion(), generated="some")
    assert (prompt.forced_prefix, request.forced_prefix) == ("", "")
    assert CODE[:OFFSET] in [part for part in prompt.layout.parts if isinstance(part, str)]


def test_too_little_context_names_the_setting_to_lower() -> None:
    engine = SteppedEngine()
    engine.context_tokens = 600
    with pytest.raises(PromptTooLong, match="max_new_tokens"):
        build_prompt(engine, Cursor(CODE, OFFSET), InlineCompletion(max_new_tokens=512))


def test_smallest_allowed_prompt_holds_text_before_the_cursor() -> None:
    prompt = build(options=InlineCompletion(prompt_tokens=64))
    assert prompt.layout.prefix_parts


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (f'password = "{SECRET}"\nx = \npassword = "{SECRET}"\n', len(f'password = "{SECRET}"\n') + 4),
        (f'password = "{SECRET}"\n', len(f'password = "{SECRET}"\n') - 3),
    ],
    ids=["on both sides", "at the cursor"],
)
def test_secrets_are_masked_in_prompt_and_forced_prefix(text: str, offset: int) -> None:
    prompt = build(text, offset)
    request = prompt.completion_request(InlineCompletion())
    sent = str(request.parts) + request.forced_prefix
    assert SECRET[:6] not in sent
    assert "xxxxxxxx" in sent
    assert "password" in sent


def test_private_key_that_the_window_cuts_is_masked() -> None:
    body = "".join(f"{'aB3d' * 16}\n" for _ in range(60))
    text = f"KEY = '''-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----'''\nx = "
    prompt = build(text, len(text), InlineCompletion(prompt_tokens=200))
    assert "aB3d" not in str(prompt.layout.parts)
    assert "xxxx" in str(prompt.layout.parts)


def test_snippets_are_in_the_prompt_and_lookup_text_is_not() -> None:
    context = PromptContext((Snippet("other.py", "shown_text = 1"),), tokens=20, lookup_text=("hidden_text = 2",))
    prompt = build_prompt(SteppedEngine(), Cursor(CODE, OFFSET, "python", context=context), InlineCompletion())
    request = prompt.completion_request(InlineCompletion())
    assert "# other.py:\n# shown_text = 1\n" in request.parts
    assert "hidden_text" not in str(request.parts)
    assert request.lookup_text == ("hidden_text = 2",)
    (index,) = request.prefix_parts
    assert request.parts[index] == "def double(x):\n    return"


def test_generated_text_is_appended_and_its_last_word_forced_again() -> None:
    prompt = build()
    first = prompt.completion_request(InlineCompletion())
    resumed = prompt.completion_request(InlineCompletion(), generated="x + on")
    assert (first.parts[-1], first.forced_prefix) == ("def double(x):\n    return", " ")
    assert (resumed.parts[-1], resumed.forced_prefix) == ("def double(x):\n    return x +", " on")
    assert resumed.parts[:-1] == first.parts[:-1]
    assert resumed.prefix_parts == first.prefix_parts


class QwenEngine(SteppedEngine):
    """With the special tokens of Qwen2.5-Coder."""

    def status(self) -> Status:
        return replace(super().status(), special_tokens=QWEN)


def test_joined_punctuation_is_forced_also_when_a_generation_is_resumed() -> None:
    text = "import os\nprint(os.pa"
    prompt = build_prompt(QwenEngine(), Cursor(text, len(text), "python"), InlineCompletion())
    assert (prompt.layout.parts[-1], prompt.forced_prefix) == ("print(os", ".pa")
    resumed = prompt.completion_request(InlineCompletion(), generated="th.joi")
    assert (resumed.parts[-1], resumed.forced_prefix) == ("print(os.path", ".joi")


@pytest.mark.parametrize("forces", [True, False])
def test_family_without_spm_reads_its_line_last_only_with_token_healing(forces: bool) -> None:
    engine = QwenEngine()
    engine.capabilities = Capabilities(forced_prefix=forces)
    prompt = build_prompt(engine, Cursor("x = 1\ny = foo", 13, "python"), InlineCompletion())
    assert prompt.layout.order == ("psm_line" if forces else "psm")
    assert prompt.forced_prefix == (" foo" if forces else "")


def test_generated_text_becomes_a_part_where_the_prompt_has_no_prefix() -> None:
    prompt = build("\nprint(1)\n", 0, InlineCompletion(heal_words=False))
    assert prompt.layout.prefix_parts == ()
    request = prompt.completion_request(InlineCompletion(), generated="x = ")
    assert [request.parts[index] for index in request.prefix_parts] == ["x = "]


def test_callback_gets_text_without_generated_part_and_cut_text() -> None:
    seen: list[str] = []
    request = build().completion_request(InlineCompletion(), generated="x + ", on_text=seen.append)
    assert request.stop is not None
    assert [request.stop("1"), request.stop("1\n")] == [None, 1]
    assert seen == ["1", "1"]


def test_prefill_request_ends_before_the_last_word() -> None:
    request = build("x = 1\nsome_call(valu", 20, InlineCompletion(heal_words=False)).prefill_request()
    assert request.max_new_tokens == 0
    assert request.parts[-1] == "x = 1\nsome_call("
    text = "b" * 3000 + " c" * 50
    request = build(text, len(text), InlineCompletion(heal_words=False, prompt_tokens=2000)).prefill_request()
    assert str(request.parts[-1]).endswith("b" * 200 + " c" * 49)


def test_prompt_is_built_again_only_if_its_inputs_have_changed() -> None:
    engine, cursor, settings, latest = (
        SteppedEngine(),
        Cursor(CODE, OFFSET, "python"),
        InlineCompletion(),
        LatestPrompt(),
    )
    prompt = latest.build(engine, cursor, settings)
    assert latest.build(engine, replace(cursor), settings) is prompt
    others = [
        (engine, replace(cursor, offset=OFFSET - 1), settings),
        (engine, replace(cursor, text=CODE + "x"), settings),
        (engine, replace(cursor, context=PromptContext(lookup_text=("x",))), settings),
        (engine, cursor, InlineCompletion(suffix_percent=10)),
        (SteppedEngine(), cursor, settings),
    ]
    for number, inputs in enumerate(others):
        assert latest.build(engine, cursor, settings) is not latest.build(*inputs), number
        assert latest.build(*inputs) == build_prompt(*inputs)
    prompt = latest.build(engine, cursor, settings)
    engine.context_tokens = 1500
    assert latest.build(engine, cursor, settings) is not prompt
