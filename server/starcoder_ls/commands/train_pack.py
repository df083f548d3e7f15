"""``starcoder-ls train pack`` and ``train unpack``: a training corpus, or a trained model, as files of limited size."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def run(folder: Path, file: Path, max_bytes: int) -> int:
    """Write the corpus in ``folder`` to ``file``. The exit code is 0.

    Raises SettingsError if there is no corpus, or if nothing of it fits ``max_bytes``.
    """
    from starcoder_ls.learning import corpus_archive

    console = Console(stderr=True, highlight=False)
    with console.status("compressing"):
        tokens = corpus_archive.pack_corpus(folder, file, max_bytes)
    console.print(f"{file}: {tokens:,} tokens, {file.stat().st_size / 1e6:.1f} MB")
    return 0


def run_unpack(packed: Path, folder: Path) -> int:
    """Extract ``packed``, an archive or the folder of its parts, into ``folder``. The exit code is 0.

    Raises SettingsError if it is neither or is damaged.
    """
    from starcoder_ls.learning import archive

    archive.unpack(packed, folder)
    return 0
