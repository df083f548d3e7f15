from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fim_tokens import CODE_LLAMA, DEEPSEEK, JUPYTER, QWEN, SANTACODER, STARCODER, STARCODER2
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import FimPrompt, build_prompt
from starcoder_ls.completion.prompt.notebook_format import is_read_by
from starcoder_ls.context.snippets import PromptContext, Snippet
from starcoder_ls.generation import Phase, SpecialToken, Status
from starcoder_ls.notebooks.cells import Cell, CellKind
from starcoder_ls.notebooks.script import build_view
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

SECRET = "hunter2" + "hunter2"


class NotebookEngine(SteppedEngine):
    def __init__(self, special_tokens: frozenset[str] = STARCODER | JUPYTER, model: str = "starcoder") -> None:
        super().__init__()
        self._special_tokens, self._model = special_tokens, model

    def status(self) -> Status:
        return replace(super().status(), special_tokens=self._special_tokens, model=self._model)


def code(text: str, output: str = "") -> Cell:
    return Cell(CellKind.CODE, text, "python", output)


def text(source: str) -> Cell:
    return Cell(CellKind.MARKDOWN, source, "markdown")


NOTEBOOK = (text("# Load\n"), code("import pandas as pd\n"), code("table = pd.read_csv('a.csv')", "[3 rows]\n"))
LATER = (text("Then plot"), code("table.plot()\n"))


def build(
    current: str,
    above: Sequence[Cell] = NOTEBOOK,
    below: Sequence[Cell] = (),
    special_tokens: frozenset[str] = STARCODER | JUPYTER,
    model: str = "starcoder",
    cell: Cell | None = None,
    context: PromptContext | None = None,
    **options: object,
) -> FimPrompt:
    """The prompt where ``current`` has a ``|``."""
    offset, source = current.index("|"), current.replace("|", "")
    cell = replace(cell or code(""), text=source)
    view = build_view(above, below, cell)
    cursor = Cursor(source, offset, cell.language, "/work/analysis.ipynb", notebook=view)
    if context is not None:
        cursor = replace(cursor, context=context)
    settings = InlineCompletion(**{"heal_words": False, **options})  # type: ignore[arg-type]
    return build_prompt(NotebookEngine(special_tokens, model), cursor, settings)


def golden(prompt: FimPrompt) -> str:
    return "".join(part if isinstance(part, str) else part.literal for part in prompt.layout.parts)


ABOVE = (
    "<jupyter_start><jupyter_text># Load<jupyter_code>import pandas as pd\ntable = pd.read_csv('a.csv')"
    "<jupyter_output>[3 rows]<jupyter_text><jupyter_code>"
)


def test_end_of_the_last_cell_is_read_left_to_right() -> None:
    prompt = build("means = table.|")
    assert golden(prompt) == f"{ABOVE}means = table."
    assert prompt.layout.order == "left_to_right"
    assert [prompt.layout.parts[at] for at in prompt.layout.prefix_parts] == ["means = table."]


def test_starcoder2_reads_notebooks_likewise() -> None:
    assert golden(build("means = table.|", special_tokens=STARCODER2 | JUPYTER)) == f"{ABOVE}means = table."


def test_text_after_the_cursor_makes_it_fill_in_the_middle() -> None:
    rest = "\nmeans<jupyter_output><empty_output>"
    spm = f"<fim_prefix><fim_suffix>{rest}<fim_middle>{ABOVE}means = table."
    assert golden(build("means = table.|\nmeans\n")) == spm
    psm = f"<fim_prefix>{ABOVE}means = table.<fim_suffix>{rest}<fim_middle>"
    assert golden(build("means = table.|\nmeans\n", fim_order="psm")) == psm
    psm_line = build("a = 1\nmeans = |\nmeans\n", fim_order="psm_line")
    assert golden(psm_line) == f"<fim_prefix>{ABOVE}a = 1\n<fim_suffix>{rest}<fim_middle>means = "
    prefix = [psm_line.layout.parts[at] for at in psm_line.layout.prefix_parts]
    assert prefix == ["a = 1\n", "means = "]


def test_cells_below_are_part_of_the_suffix_only() -> None:
    prompt = build("means = table.|\nmeans", below=LATER)
    assert golden(prompt) == (
        "<fim_prefix><fim_suffix>\nmeans<jupyter_output><empty_output><jupyter_text>Then plot<jupyter_code>"
        f"table.plot()<jupyter_output><empty_output><fim_middle>{ABOVE}means = table."
    )
    assert golden(build("means = table.|", below=LATER)) == f"{ABOVE}means = table."


def test_closers_after_the_cursor_are_no_text() -> None:
    assert golden(build("print(table.|)")) == f"{ABOVE}print(table."


def test_successive_cells_are_one_text_unless_one_has_an_output() -> None:
    above = (text("One."), text("Two."), code("a = 1"), code("b = 2", "2"), code("c = 3"))
    assert golden(build("d = |", above)) == (
        "<jupyter_start><jupyter_text>One. Two.<jupyter_code>a = 1\nb = 2<jupyter_output>2"
        "<jupyter_text><jupyter_code>c = 3\nd = "
    )


def test_notebook_that_begins_with_code_has_an_empty_text() -> None:
    assert golden(build("x = |", ())) == "<jupyter_start><jupyter_text><jupyter_code>x = "
    assert golden(build("|", ())) == "<jupyter_start><jupyter_text><jupyter_code>"


def test_markdown_cell_is_completed_as_text() -> None:
    prompt = build("We see |", cell=text(""))
    assert golden(prompt) == (
        "<jupyter_start><jupyter_text># Load<jupyter_code>import pandas as pd\ntable = pd.read_csv('a.csv')"
        "<jupyter_output>[3 rows]<jupyter_text>We see "
    )


def test_markdown_follows_code_without_output_after_an_empty_output() -> None:
    assert golden(build("x|", (code("a = 1"), text("Text")))) == (
        "<jupyter_start><jupyter_text><jupyter_code>a = 1<jupyter_output><empty_output><jupyter_text>Text"
        "<jupyter_code>x"
    )


def test_answer_ends_where_the_cell_ends() -> None:
    ends = {token.literal for token in build("x|").layout.end_tokens}
    assert ends >= JUPYTER
    assert "<fim_middle>" in ends


def test_marks_in_a_cell_stay_text() -> None:
    prompt = build("x = '<jupyter_output>'|")
    assert "x = '<jupyter_output>'" in prompt.layout.parts
    assert prompt.layout.parts.count(SpecialToken("<jupyter_output>")) == 1


def test_half_typed_word_is_forced_also_at_the_start_of_a_cell() -> None:
    prompt = build("tab|", heal_words=True)
    assert golden(prompt) == ABOVE
    assert prompt.forced_prefix == "tab"
    resumed = prompt.completion_request(InlineCompletion(), generated="le.mean")
    assert (resumed.parts[-1], resumed.forced_prefix) == ("table.", "mean")


def test_prefill_reads_all_but_the_last_word() -> None:
    request = build("means = tab|").prefill_request()
    assert request.parts[-1] == "means ="


def test_secrets_are_masked_in_all_cells_and_outputs() -> None:
    line = f'password = "{SECRET}"'
    prompt = build(f"{line}\nx = |\n{line}", (text(line), code(line, line)), (code(line),))
    assert SECRET[:6] not in golden(prompt)
    assert golden(prompt).count("xxxxxxxx") == 6
    assert SECRET[:6] not in golden(build(f"{line}\nx = |", (text(line), code(line, line)), special_tokens=QWEN))


def test_snippets_of_other_files_are_comments_in_the_first_code() -> None:
    context = PromptContext((Snippet("a.py", "one = 1"),), tokens=20)
    assert golden(build("x = |", (code("a = 1"),), context=context)) == (
        "<jupyter_start><jupyter_text><jupyter_code># a.py:\n# one = 1\na = 1\nx = "
    )


def test_long_notebook_keeps_the_nearest_cells_and_stays_stable() -> None:
    cells = [code(f"value_{number} = compute({number})") for number in range(400)]
    starts = set()
    for typed in range(40):
        prompt = golden(build("x" * typed + "|", cells, prompt_tokens=512))
        assert "value_399" in prompt
        assert "value_0 " not in prompt
        starts.add(prompt[:80])
    assert len(starts) == 1


def test_outputs_take_at_most_a_quarter_of_the_prompt() -> None:
    cells = [code(f"show({number})", f"output {number} " * 60) for number in range(8)]
    prompt = golden(build("x = |", cells, prompt_tokens=1024))
    assert "output 7" in prompt
    assert "output 5" not in prompt
    assert "show(5)<jupyter_output>" not in prompt, "code without an output that is shown is joined to the next"


def test_cell_that_the_window_divides_shows_its_end() -> None:
    long = code("".join(f"value_{number} = {number}\n" for number in range(1000)))
    prompt = golden(build("x = |", (text("Title"), long), prompt_tokens=512))
    assert prompt.startswith("<jupyter_start><jupyter_text><jupyter_code>value_")
    assert prompt.endswith("value_999 = 999\nx = ")


def test_long_cell_shows_the_lines_before_the_cursor_only() -> None:
    long = "".join(f"value_{number} = {number}\n" for number in range(1000))
    prompt = golden(build(f"{long}x = |", prompt_tokens=512))
    assert prompt.startswith("<jupyter_start><jupyter_text><jupyter_code>value_")
    assert "pandas" not in prompt


def test_suffix_that_the_window_cuts_has_no_output() -> None:
    long = "".join(f"value_{number} = {number}\n" for number in range(1000))
    assert "<empty_output><fim_middle>" not in golden(build(f"x = |\n{long}", prompt_tokens=512))


SCRIPT = "# # Load\n\nimport pandas as pd\n\ntable = pd.read_csv('a.csv')\n\n"


@pytest.mark.parametrize("special_tokens", [QWEN, DEEPSEEK, CODE_LLAMA, SANTACODER, STARCODER])
def test_other_families_read_the_notebook_as_one_script(special_tokens: frozenset[str]) -> None:
    prompt = build("means = |\nmeans", below=LATER, special_tokens=special_tokens, fim_order="psm")
    texts = "|".join(part for part in prompt.layout.parts if isinstance(part, str))
    assert texts.removeprefix("analysis.py\n|") == (f"{SCRIPT}means = |\nmeans\n\n# Then plot\n\ntable.plot()\n")


def test_bundled_model_reads_a_script_although_it_has_the_tokens() -> None:
    prompt = build("means = |", model="bundled")
    assert prompt.layout.parts[-1] == f"{SCRIPT}means = "
    assert not is_read_by(Status(Phase.READY, model="bundled", special_tokens=STARCODER | JUPYTER))
    assert not is_read_by(Status(Phase.READY, model="x", special_tokens=STARCODER))
    assert is_read_by(Status(Phase.READY, model="x", special_tokens=STARCODER | JUPYTER))


def test_magics_do_not_hide_the_syntax_of_the_cell() -> None:
    prompt = build("%matplotlib inline\n!pip install x\nfor row in rows:\n    |", ())
    point = prompt.insertion_point
    assert point.block_opener == "for row in rows:"
    assert point.before.startswith("#matplotlib inline\n#pip install x\n")
    assert "%matplotlib inline\n!pip install x\n" in golden(prompt)


def test_string_that_a_cell_above_leaves_open_is_not_this_cells_string() -> None:
    point = build("x = |", (code("a = 1"), text("don't \"quote")), special_tokens=QWEN).insertion_point
    assert point.syntax.region == "code"


def test_line_ends_of_windows_do_not_move_the_cells() -> None:
    prompt = build("a = 1\r\nmeans = |\r\nmeans\r\n", below=LATER)
    assert golden(prompt) == (
        "<fim_prefix><fim_suffix>\nmeans<jupyter_output><empty_output><jupyter_text>Then plot<jupyter_code>"
        f"table.plot()<jupyter_output><empty_output><fim_middle>{ABOVE}a = 1\nmeans = "
    )
