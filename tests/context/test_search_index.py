from __future__ import annotations

import pytest

from starcoder_ls.context import search_index
from starcoder_ls.context.search_index import MIN_CHUNK_CHARS, SearchIndex

PAD = "\n".join(f"filler_{number} = common_word" for number in range(29))


def test_chunks_that_share_rare_words_come_first() -> None:
    index = SearchIndex()
    index.add("a.py", f"def read_header(stream): pass\n{PAD}\ndef parse_matrix(rows): return solve_rows(rows)")
    index.add("b.py", f"def parse_matrix(): pass\n{PAD}")
    for number in range(300):
        index.add(f"{number}.py", "common_word = 1")
    hits, rarity = index.search(["parse_matrix", "solve_rows", "common_word", "nowhere"], 5)
    assert [(hit.path, hit.start_line) for hit in hits] == [("a.py", 30), ("b.py", 0)]
    assert rarity["solve_rows"] > rarity["parse_matrix"] > rarity["common_word"] == 0


def test_words_may_have_underscores_and_capitals() -> None:
    index = SearchIndex()
    index.add("a.py", "HttpServer.read_all_lines()")
    assert index.search(["read_all_lines"], 5)[0]
    assert index.search(["httpserver"], 5)[0]
    assert not index.search(["read"], 5)[0]
    assert not index.search(['" OR text:*', "naïve"], 5)[0]


def test_changed_or_removed_text_is_not_found() -> None:
    index = SearchIndex()
    index.add("a.py", "first_version")
    index.add("a.py", "second_version")
    index.add("b.py", "other_file")
    index.remove("b.py")
    index.remove("never.py")
    assert index.search(["first_version", "other_file"], 5)[0] == []
    assert [hit.path for hit in index.search(["second_version"], 5)[0]] == ["a.py"]
    assert index.paths() == ["a.py"]


def test_file_that_is_saved_often_is_found_and_its_words_stay_rare() -> None:
    index = SearchIndex()
    for number in range(300):
        index.add("a.py", f"parse_matrix = {number}")
    index.add("b.py", "parse_matrix = solve_rows()")
    hits, rarity = index.search(["parse_matrix", "solve_rows"], 5)
    assert [hit.path for hit in hits] == ["b.py", "a.py"]
    assert rarity["solve_rows"] > rarity["parse_matrix"] > 0


def test_text_that_is_indexed_already_is_not_indexed_again() -> None:
    index = SearchIndex()
    for _ in range(1200):
        assert index.add("a.py", "first_version")
    assert not index.needs_rebuild
    for number in range(1001):
        index.add("a.py", f"version_{number}")
    assert index.needs_rebuild


def test_full_index_takes_no_more_and_one_of_removed_chunks_needs_rebuild() -> None:
    index = SearchIndex(max_chars=MIN_CHUNK_CHARS + 50)
    assert index.add("a.py", "x" * 40)
    assert not index.add("b.py", "y" * 40)
    index.remove("a.py")
    assert index.add("b.py", "y" * 40)
    for number in range(1200):
        index.add("b.py", f"word_{number}")
    assert index.needs_rebuild


def test_closed_index_finds_nothing_and_takes_nothing() -> None:
    index = SearchIndex()
    index.close()
    assert not index.add("a.py", "word")
    assert index.search(["word"], 5) == ([], {})


def test_chunks_of_blank_lines_fill_the_index_like_code() -> None:
    index = SearchIndex(max_chars=10 * MIN_CHUNK_CHARS)
    assert index.add("a.py", "\n" * 200)
    assert not index.add("b.py", "\n" * 200)
    index.remove("a.py")
    assert index.add("b.py", "\n" * 200)


def test_index_whose_database_is_full_takes_no_more_and_still_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "MAX_DATABASE_BYTES", 256 * 1024)
    index, number = SearchIndex(), 0
    while index.add(f"{number}.py", " ".join(f"word_{number}_{word}" for word in range(2000))):
        number += 1
    assert 2 < number < 20
    assert index.is_full
    assert [hit.path for hit in index.search(["word_0_1"], 5)[0]] == ["0.py"]
    index.remove("1.py")
    assert index.search(["word_1_1", f"word_{number}_0"], 5)[0] == []
