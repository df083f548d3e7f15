from __future__ import annotations

from starcoder_ls.context.search_index import SearchIndex

PAD = "\n".join(f"filler_{number} = common_word" for number in range(29))


def test_pieces_that_share_rare_words_come_first() -> None:
    index = SearchIndex()
    index.put("a.py", f"def read_header(stream): pass\n{PAD}\ndef parse_matrix(rows): return solve_rows(rows)")
    index.put("b.py", f"def parse_matrix(): pass\n{PAD}")
    for number in range(300):
        index.put(f"{number}.py", "common_word = 1")
    found, rarity = index.search(["parse_matrix", "solve_rows", "common_word", "nowhere"], 5)
    assert [(one.path, one.start) for one in found] == [("a.py", 30), ("b.py", 0)]
    assert rarity["solve_rows"] > rarity["parse_matrix"] > rarity["common_word"] == 0


def test_underscores_and_capitals_are_part_of_a_word() -> None:
    index = SearchIndex()
    index.put("a.py", "HttpServer.read_all_lines()")
    assert index.search(["read_all_lines"], 5)[0]
    assert index.search(["httpserver"], 5)[0]
    assert not index.search(["read"], 5)[0]
    assert not index.search(['" OR text:*', "naïve"], 5)[0]


def test_what_is_changed_or_gone_is_not_found() -> None:
    index = SearchIndex()
    index.put("a.py", "first_version")
    index.put("a.py", "second_version")
    index.put("b.py", "other_file")
    index.drop("b.py")
    index.drop("never.py")
    assert index.search(["first_version", "other_file"], 5)[0] == []
    assert [one.path for one in index.search(["second_version"], 5)[0]] == ["a.py"]
    assert index.paths() == ["a.py"]


def test_a_full_index_takes_no_more_and_one_of_the_dead_wants_to_be_rebuilt() -> None:
    index = SearchIndex(most_chars=50)
    assert index.put("a.py", "x" * 40)
    assert not index.put("b.py", "y" * 40)
    index.drop("a.py")
    assert index.put("b.py", "y" * 40)
    for number in range(1200):
        index.put("b.py", f"word_{number}")
    assert index.should_be_rebuilt


def test_a_closed_index_finds_nothing_and_takes_nothing() -> None:
    index = SearchIndex()
    index.close()
    assert not index.put("a.py", "word")
    assert index.search(["word"], 5) == ([], {})
