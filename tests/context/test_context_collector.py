from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from starcoder_ls.context.context_collector import JUMP_LINES, MAX_CONTEXTS, PAUSE_S, ContextCollector
from starcoder_ls.context.context_request import ContextRequest
from starcoder_ls.context.snippets import PromptContext
from starcoder_ls.settings import Context
from stepped_engine import ManualClock

HELPER = """
def matrix_inverse(matrix_rows, tolerance):
    pivot_row = find_pivot(matrix_rows, tolerance)
    return backward_substitution(matrix_rows, pivot_row)
"""
CODE = "from helper import matrix_inverse\n\n\ndef solve(matrix_rows, tolerance):\n    return matrix_inverse("
Create = Callable[..., ContextCollector]


@pytest.fixture
def create(tmp_path: Path) -> Iterator[Create]:
    """Create a collector for the test's folder, with its index built; it is closed after the test."""
    collectors: list[ContextCollector] = []

    def create_collector(clock: ManualClock | None = None, **options: object) -> ContextCollector:
        collector = ContextCollector([tmp_path], Context(**options), clock or ManualClock())  # type: ignore[arg-type]
        collectors.append(collector)
        assert collector.workspace.build_complete.wait(300)
        return collector

    yield create_collector
    for collector in collectors:
        collector.close()


def count_tokens(text: str) -> int:
    return len(text) // 4


def collect(collector: ContextCollector, folder: Path, text: str = CODE, tokens: int = 300) -> PromptContext:
    """The context at the end of ``text``, the document ``app.py``."""
    path = str(folder / "app.py")
    return collector.collect(ContextRequest(path, path, text, len(text), 3000), tokens, count_tokens)


def snippet_paths(context: PromptContext) -> list[str]:
    return [snippet.path for snippet in context.snippets]


@pytest.mark.parametrize("source", ["buffers", "edits", "imports", "repository"])
def test_each_source_gives_similar_snippets(tmp_path: Path, create: Create, source: str) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "unlike.py").write_text("print('nothing in common here')\nother = 1\nthird_line = 2\n")
    collector = create(sources=(source,))
    if source in ("buffers", "edits"):
        (tmp_path / "helper.py").write_text("")
        collector.edit_document(str(tmp_path / "helper.py"), str(tmp_path / "helper.py"), HELPER, 2)
    context = collect(collector, tmp_path)
    assert snippet_paths(context) == ["helper.py"]
    assert "backward_substitution" in context.snippets[0].text
    assert context.tokens <= 300
    assert context.repository == tmp_path.name
    if source != "edits":
        assert any("backward_substitution" in text for text in context.lookup_text)


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_texts_of_all_documents_have_line_feeds_in_the_context(tmp_path: Path, create: Create, line_end: str) -> None:
    helper = HELPER.replace("\n", line_end)
    filler = "".join(f"line_{number} = compute_{number}()\n" for number in range(400))
    text = f"far_above = 1\n{filler}\n{CODE}".replace("\n", line_end)
    for source in ("buffers", "edits"):
        collector = create(sources=(source,))
        collector.edit_document("helper", str(tmp_path / "helper.py"), helper, 2)
        context = collect(collector, tmp_path, text)
        assert [snippet.text for snippet in context.snippets] == [HELPER.strip("\n")]
        assert any("far_above = 1\nline_0 = compute_0()\n" in lookup for lookup in context.lookup_text)
        assert not any("\r" in lookup for lookup in context.lookup_text)


def test_imported_file_that_is_open_counts_as_it_is_in_the_editor(tmp_path: Path, create: Create) -> None:
    (tmp_path / "helper.py").write_text("")
    clock = ManualClock()
    for sources in (("imports",), ("buffers", "imports")):
        collector = create(clock, sources=sources)
        collector.open_document("helper", str(tmp_path / "helper.py"), HELPER)
        for number in range(9):
            clock.now_s += 1
            collector.open_document(str(number), str(tmp_path / f"{number}.py"), f"later_{number} = 1\n")
        context = collect(collector, tmp_path)
        assert snippet_paths(context) == ["helper.py"]
        assert any("backward_substitution" in text for text in context.lookup_text)


def test_repository_is_the_workspace_folder_of_the_document(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    collector = ContextCollector(folders, Context(sources=("buffers",)))
    for folder in folders:
        assert collect(collector, folder).repository == folder.name
    assert collect(collector, tmp_path).repository == "first"
    collector.close()


def test_no_tokens_give_no_snippets_and_lookup_text_is_optional(tmp_path: Path, create: Create) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    context = collect(create(), tmp_path, tokens=0)
    assert context.snippets == ()
    assert context.tokens == 0
    assert context.lookup_text
    assert collect(create(evidence=False), tmp_path).lookup_text == ()


@pytest.mark.parametrize("name", [".env.py", ".aws/helper.py", "ignored.py", "listed.py"])
def test_excluded_file_is_in_no_context(tmp_path: Path, create: Create, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(HELPER)
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    collector = create(ignore=("listed.py",))
    collector.edit_document(str(path), str(path), HELPER, 2)
    module = name.removesuffix(".py").replace("/", ".")
    context = collect(collector, tmp_path, f"import {module}\nfrom . import {module}\n{CODE}")
    assert context.snippets == ()
    assert not any("backward_substitution" in text for text in context.lookup_text)


@pytest.mark.parametrize("source", ["buffers", "edits", "imports", "repository"])
def test_secrets_in_other_files_are_masked(tmp_path: Path, create: Create, source: str) -> None:
    secret = "hunter2" + "hunter2"
    text = HELPER.replace("pivot_row =", f'password = "{secret}"\n    pivot_row =')
    (tmp_path / "helper.py").write_text(text)
    collector = create(sources=(source,))
    if source in ("buffers", "edits"):
        collector.edit_document("helper", str(tmp_path / "helper.py"), text, 2)
    context = collect(collector, tmp_path)
    assert snippet_paths(context) == ["helper.py"]
    assert secret not in str(context)
    assert "xxxxxxxx" in str(context.snippets)


def test_file_excluded_later_leaves_the_context(tmp_path: Path, create: Create) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    clock = ManualClock()
    collector = create(clock)
    assert snippet_paths(collect(collector, tmp_path)) == ["helper.py"]
    (tmp_path / ".starcoderignore").write_text("helper.py\n")
    clock.now_s += 1  # ignore files are cached for a second
    context = collect(collector, tmp_path, CODE + "m")
    assert (context.snippets, context.lookup_text) == ((), ())


def test_reported_change_of_an_ignore_file_applies_at_once(tmp_path: Path, create: Create) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    collector = create(ManualClock(), sources=("repository",))
    assert snippet_paths(collect(collector, tmp_path)) == ["helper.py"]
    for patterns, files in (("helper.py\n", 0), ("", 1)):
        (tmp_path / ".gitignore").write_text(patterns)
        collector.update_files([tmp_path / ".gitignore"])
        assert (collector.rules.exclusion_reason(tmp_path / "helper.py") is None) == (files == 1)
        assert collector.workspace.flush(300)
        assert len(collector.workspace) == files


def test_context_changes_only_after_a_pause_or_a_jump(tmp_path: Path, create: Create) -> None:
    clock = ManualClock()
    (tmp_path / "helper.py").write_text(HELPER)
    collector = create(clock, sources=("buffers",))
    collector.open_document("other", "other.py", "unlike = 1\n")
    first = collect(collector, tmp_path)
    for typed in range(1, 12):
        clock.now_s += 0.2
        collector.edit_document("other", str(tmp_path / "helper.py"), HELPER + "# edited\n" * typed, typed)
        assert collect(collector, tmp_path, CODE + "matrix_rows"[:typed]) is first
    clock.now_s += PAUSE_S
    second = collect(collector, tmp_path, CODE + "matrix_rows")
    assert snippet_paths(second) == ["helper.py"]
    collector.close_document("other")
    assert collect(collector, tmp_path, CODE + "matrix_rows,") is second
    jumped = collect(collector, tmp_path, CODE + "\n" * (JUMP_LINES + 1))
    assert snippet_paths(jumped) == []


def test_lookup_text_has_the_document_without_the_prompts_part(tmp_path: Path, create: Create) -> None:
    filler = "".join(f"line_{number} = compute_{number}()\n" for number in range(400))
    text = f"far_above = 1\n{filler}"
    document = f"{text}cursor_here()\n{filler}"
    request = ContextRequest("key", str(tmp_path / "app.py"), document, len(text) + len("cursor_here("), 1000)
    (lookup_text,) = create().collect(request, 0, count_tokens).lookup_text
    assert "far_above = 1" in lookup_text
    assert "cursor_here" not in lookup_text


def test_huge_documents_and_other_languages_are_left_out(tmp_path: Path, create: Create) -> None:
    collector = create()
    collector.open_document("huge", str(tmp_path / "huge.py"), HELPER + "x = 1\n" * 60_000)
    collector.open_document("notes", str(tmp_path / "notes.md"), HELPER)
    context = collect(collector, tmp_path)
    assert (context.snippets, context.lookup_text) == ((), ())


def test_context_is_kept_for_the_documents_that_were_requested_last(tmp_path: Path, create: Create) -> None:
    collector = create(sources=["buffers"])
    paths = [str(tmp_path / f"{number}.py") for number in range(MAX_CONTEXTS + 1)]
    for path in (*paths[:-1], paths[0], paths[-1]):
        collector.collect(ContextRequest(path, path, CODE, len(CODE), 300), 0, count_tokens)
    assert set(collector._contexts) == {*paths[2:], paths[0]}


def test_notebook_cell_has_imported_files_and_notebooks_of_its_language(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    text = "from helper import matrix_inverse\n\nrows = "
    notebook = str(tmp_path / "analysis.ipynb")
    request = ContextRequest("cell", notebook, text, len(text), 3000, "python", "notebook")
    collector = ContextCollector([tmp_path], Context())
    collector.open_document("sibling", notebook, "sibling_cell = 1\n" * 40, "python", "notebook")
    context = collector.collect(request, 500, count_tokens)
    collector.close()
    assert any(HELPER.strip() in lookup for lookup in context.lookup_text)
    assert "sibling_cell" not in str(context), "it is in the text of the notebook"
