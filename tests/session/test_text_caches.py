from __future__ import annotations

from starcoder_ls.context import identifiers, secrets
from starcoder_ls.languages.table import by_id
from starcoder_ls.session import text_caches
from starcoder_ls.syntax import brackets


def test_clear_forgets_the_texts_of_documents() -> None:
    secrets.mask_secrets("password = 'x8Kq2mPz91'\n" * 3)
    identifiers.identifier_set("alpha beta")
    identifiers.content_lines("alpha = beta\n")
    brackets.scan_incrementally("f(\n", by_id("python"))
    caches = (
        secrets._find_in_block,
        secrets._find_in_short_line,
        identifiers._cached_identifier_set,
        identifiers._cached_content_lines,
    )
    assert all(cache.cache_info().currsize for cache in caches)
    assert brackets._cached_scans
    text_caches.clear()
    assert not any(cache.cache_info().currsize for cache in caches)
    assert not brackets._cached_scans
