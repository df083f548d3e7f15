from __future__ import annotations

from starcoder_ls.lsp.documents.free_memory import TRIM_AFTER_BYTES, FreedMemory, trim_heap


def test_heap_is_trimmed_once_for_much_freed_memory() -> None:
    trims: list[None] = []
    freed = FreedMemory(lambda: trims.append(None))
    for _ in range(16):
        freed.add(TRIM_AFTER_BYTES // 8)
    assert len(trims) == 2


def test_trimming_is_harmless_on_every_system() -> None:
    trim_heap()
