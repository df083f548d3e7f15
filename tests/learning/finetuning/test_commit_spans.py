from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from commit_history import History, numbered_edits
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.commit_changes import FileChange
from starcoder_ls.learning.finetuning.commit_spans import (
    MAX_CHANGED_LINES,
    collect_spans,
    cut_span,
    split_spans,
)
from starcoder_ls.learning.finetuning.slices import Slice


def change(old: list[str], new: list[str], name: str = "a.py") -> FileChange:
    texts = ("\n".join(lines) + "\n" for lines in (old, new))
    return FileChange(Path("/code"), name, "c0ffee", 5, "Change the line", *texts)


def lines(count: int, *changed: int) -> list[str]:
    return [f"line {number}{' changed' if number in changed else ''}" for number in range(count)]


def test_span_has_0_to_31_lines_on_each_side_of_the_change() -> None:
    old, new = lines(400), lines(400, 200)
    spans = [cut_span(change(old, new), seed) for seed in range(60)]
    above = [200 - span.first_line for span in spans if span is not None]
    below = [len(span.before.split("\n")) - count - 1 for span, count in zip(spans, above, strict=True) if span]
    assert len(above) == 60
    for counts in (above, below):
        assert 0 <= min(counts) < 8
        assert 24 < max(counts) <= 31
    span = spans[0]
    assert span is not None
    assert old[span.first_line :][: len(span.before.split("\n"))] == span.before.split("\n")
    assert span.after == span.before.replace("line 200", "line 200 changed")
    assert span == cut_span(change(old, new), 0)


def test_a_fifth_of_the_short_files_is_taken_whole_without_final_newline() -> None:
    old, new = lines(120), lines(120, 60)
    spans = [cut_span(change(old, new, f"f{number}.py")) for number in range(400)]
    whole = [span for span in spans if span is not None and span.before == "\n".join(old)]
    assert 50 < len(whole) < 110
    assert whole[0].after == "\n".join(new)


def test_insertion_alone_gets_lines_around_it() -> None:
    old, new = lines(100), [*lines(50), "new", *lines(100)[50:]]
    for seed in range(80):
        span = cut_span(change(old, new), seed)
        assert span is not None
        assert span.before.strip()
        assert "new" in span.after.split("\n")


def test_change_that_is_too_large_or_leaves_nothing_has_no_span() -> None:
    count = MAX_CHANGED_LINES + 1
    assert cut_span(change(lines(count), lines(count, *range(count)))) is None
    assert cut_span(change(lines(4), [""])) is None


def test_spans_of_a_history_are_the_oldest_first_without_duplicates(tmp_path: Path) -> None:
    history = numbered_edits(tmp_path, 4)
    text = (tmp_path / "shop/item2.py").read_text()
    history.commit("Item 2: compute with price again", {"shop/item2.py": text.replace("cost2", "price")})
    history.commit("Item 2: compute with cost2", {"shop/item2.py": text})
    found = collect_spans([tmp_path])
    assert [span.subject for span in found.spans] == [
        *(f"Item {number}: compute with cost{number}" for number in range(4)),
        "Item 2: compute with price again",
    ]
    assert found.left_out["nearly equal to an earlier change"] == 1
    assert "item.price" in found.spans[0].before
    assert "item.cost0" in found.spans[0].after


def test_history_without_usable_changes_is_refused_with_reasons(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.commit("Add a file", {"a.py": "a = 1\n"})
    history.commit("wip", {"a.py": "a = 2\n"})
    with pytest.raises(SettingsError, match="generic"):
        collect_spans([tmp_path])


def test_newest_commits_are_held_out_and_no_commit_is_divided() -> None:
    span = cut_span(change(lines(20), lines(20, 10)))
    assert span is not None
    spans = [
        replace(span, name=f"f{number % 2}.py", commit=f"c{number // 2:03}", time_s=number // 2)
        for number in range(200)
    ]
    slices = split_spans(spans)
    times = {part: sorted({span.time_s for span in own}) for part, own in slices.items()}
    assert times[Slice.HELD_OUT] == list(range(80, 100))
    assert times[Slice.VALIDATION] == list(range(70, 80))
    assert times[Slice.TRAINING] == list(range(70))
    assert sum(map(len, slices.values())) == 200
    with pytest.raises(SettingsError, match="only 9 commits"):
        split_spans(spans[:18])
