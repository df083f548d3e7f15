from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from starcoder_ls.context.context_collector import JUMP_LINES, PAUSE_S, ContextCollector, ContextSite
from starcoder_ls.context.snippets import PromptContext
from starcoder_ls.settings import Context

HELPER = """
def matrix_inverse(matrix_rows, tolerance):
    pivot_row = find_pivot(matrix_rows, tolerance)
    return backward_substitution(matrix_rows, pivot_row)
"""
CODE = "from helper import matrix_inverse\n\n\ndef solve(matrix_rows, tolerance):\n    return matrix_inverse("
MADE: list[ContextCollector] = []


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def surroundings(folder: Path, clock: Clock | None = None, **options: object) -> ContextCollector:
    made = ContextCollector([folder], Context(**options), clock or Clock())  # type: ignore[arg-type]
    MADE.append(made)
    assert made.workspace.is_complete.wait(5)
    return made


def count(text: str) -> int:
    return len(text) // 4


def at_end(folder: Path, text: str = CODE, seen_chars: int = 3000) -> ContextSite:
    path = str(folder / "app.py")
    return ContextSite(path, path, text, len(text), seen_chars)


def shown(gathered: PromptContext) -> list[str]:
    return [snippet.path for snippet in gathered.snippets]


@pytest.mark.parametrize("source", ["buffers", "edits", "imports", "repository"])
def test_each_source_shows_what_is_similar(tmp_path: Path, source: str) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "unlike.py").write_text("print('nothing in common here')\nother = 1\nthird_line = 2\n")
    found = surroundings(tmp_path, sources=(source,))
    if source in ("buffers", "edits"):
        (tmp_path / "helper.py").write_text("")
        found.edited(str(tmp_path / "helper.py"), str(tmp_path / "helper.py"), HELPER, 2)
    gathered = found.gathered(at_end(tmp_path), 300, count)
    assert shown(gathered) == ["helper.py"]
    assert "backward_substitution" in gathered.snippets[0].text
    assert gathered.tokens <= 300
    assert gathered.repository == tmp_path.name
    if source != "edits":
        assert any("backward_substitution" in text for text in gathered.lookup_text)


def test_no_tokens_no_snippets_and_evidence_only_where_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    gathered = surroundings(tmp_path).gathered(at_end(tmp_path), 0, count)
    assert gathered.snippets == ()
    assert gathered.tokens == 0
    assert gathered.lookup_text
    assert surroundings(tmp_path, evidence=False).gathered(at_end(tmp_path), 300, count).lookup_text == ()


@pytest.mark.parametrize("name", [".env.py", "secrets/helper.py", "ignored.py", "listed.py"])
def test_what_must_not_be_seen_is_shown_from_nowhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(HELPER)
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    found = surroundings(tmp_path, ignore=("listed.py",))
    found.edited(str(path), str(path), HELPER, 2)
    module = name.removesuffix(".py").replace("/", ".")
    gathered = found.gathered(at_end(tmp_path, f"import {module}\nfrom . import {module}\n{CODE}"), 300, count)
    assert gathered.snippets == ()
    assert not any("backward_substitution" in text for text in gathered.lookup_text)


@pytest.mark.parametrize("source", ["buffers", "edits", "imports", "repository"])
def test_secrets_in_other_files_are_masked(tmp_path: Path, source: str) -> None:
    secret = "hunter2" + "hunter2"
    text = HELPER.replace("pivot_row =", f'password = "{secret}"\n    pivot_row =')
    (tmp_path / "helper.py").write_text(text)
    found = surroundings(tmp_path, sources=(source,))
    if source in ("buffers", "edits"):
        found.edited("helper", str(tmp_path / "helper.py"), text, 2)
    gathered = found.gathered(at_end(tmp_path), 300, count)
    assert shown(gathered) == ["helper.py"]
    assert secret not in str(gathered)
    assert "xxxxxxxx" in str(gathered.snippets)


def test_a_file_that_is_excluded_later_is_gone_at_the_next_key(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    found = surroundings(tmp_path)
    assert shown(found.gathered(at_end(tmp_path), 300, count)) == ["helper.py"]
    (tmp_path / ".starcoderignore").write_text("helper.py\n")
    found.rules._verdicts.clear()
    found.rules._specs.clear()
    gathered = found.gathered(at_end(tmp_path, CODE + "m"), 300, count)
    assert (gathered.snippets, gathered.lookup_text) == ((), ())


def test_snippets_stay_while_typing_and_are_looked_for_anew_after_a_pause_or_a_jump(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "helper.py").write_text(HELPER)
    found = surroundings(tmp_path, clock, sources=("buffers",))
    found.opened("other", "other.py", "unlike = 1\n")
    first = found.gathered(at_end(tmp_path), 300, count)
    for typed in range(1, 12):
        clock.now_s += 0.2
        found.edited("other", str(tmp_path / "helper.py"), HELPER + "# edited\n" * typed, typed)
        assert found.gathered(at_end(tmp_path, CODE + "matrix_rows"[:typed]), 300, count) is first
    clock.now_s += PAUSE_S
    second = found.gathered(at_end(tmp_path, CODE + "matrix_rows"), 300, count)
    assert shown(second) == ["helper.py"]
    found.closed("other")
    assert found.gathered(at_end(tmp_path, CODE + "matrix_rows,"), 300, count) is second
    jumped = found.gathered(at_end(tmp_path, CODE + "\n" * (JUMP_LINES + 1)), 300, count)
    assert shown(jumped) == []


def test_the_rest_of_a_long_document_is_evidence_but_never_the_place_of_the_cursor(tmp_path: Path) -> None:
    filler = "".join(f"line_{number} = compute_{number}()\n" for number in range(400))
    text = f"far_above = 1\n{filler}"
    place = ContextSite("key", str(tmp_path / "app.py"), text + "cursor_here(" + ")\n" + filler, len(text) + 12, 1000)
    (lookup_text,) = surroundings(tmp_path).gathered(place, 0, count).lookup_text
    assert "far_above = 1" in lookup_text
    assert "cursor_here" not in lookup_text


def test_huge_and_foreign_buffers_are_left_out(tmp_path: Path) -> None:
    found = surroundings(tmp_path)
    found.opened("huge", str(tmp_path / "huge.py"), HELPER + "x = 1\n" * 60_000)
    found.opened("notes", str(tmp_path / "notes.md"), HELPER)
    gathered = found.gathered(at_end(tmp_path), 300, count)
    assert (gathered.snippets, gathered.lookup_text) == ((), ())
