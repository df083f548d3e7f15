from __future__ import annotations

from starcoder_ls.lsp.documents.free_memory import TRIM_AFTER_BYTES, FreedMemory


def test_heap_is_trimmed_once_for_much_freed_memory() -> None:
    trims: list[None] = []
    freed = FreedMemory(lambda: trims.append(None))
    for _ in range(16):
        freed.add(TRIM_AFTER_BYTES // 8)
    assert len(trims) == 2
