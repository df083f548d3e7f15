from __future__ import annotations

import re

from starcoder_ls.remote.session_id import SessionIds

PATH = "file:///home/me/secret-project/app.py"


def test_name_is_a_hash_that_only_this_process_can_compute() -> None:
    ids = SessionIds()
    assert re.fullmatch("[0-9a-f]{32}", ids.name("editor", PATH))
    assert ids.name("editor", PATH) == ids.name("editor", PATH)
    assert ids.name("editor", PATH) != SessionIds().name("editor", PATH)


def test_each_pair_of_client_and_document_has_its_own_name() -> None:
    ids = SessionIds(b"key")
    pairs = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("1:a", "b"), ("a", "\ud800")]
    assert len({ids.name(*pair) for pair in pairs}) == len(pairs)
