"""A training corpus as one compressed file of limited size, with the licences of what is in it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import archive
from starcoder_ls.learning.corpus import END_ID, Ids

LICENCES_FILE = "LICENCES.md"

_ATTEMPTS = 5
_MARGIN = 0.98
"""Of the size that the compression so far predicts."""

_LICENCES = """# Licences of this corpus

Python source code of these packages, as token ids, each under the licence that its own metadata names. Packages with
any other licence were left out (`starcoder_ls.learning.sources`). The files in `heldout` are for measuring only.

| package | version | licence |
|---|---|---|
"""


def pack_corpus(folder: Path, file: Path, max_bytes: int) -> int:
    """Write the corpus ``folder`` to ``file``, with as many of its documents as fit ``max_bytes``; the tokens in it.

    Documents are in random order, so that the first ones are a sample of all. Raises SettingsError if there is no
    corpus or nothing of it fits, OSError.
    """
    if not (folder / "corpus.bin").is_file():
        raise SettingsError(f"{folder} has no corpus.bin. Create it with `starcoder-ls train corpus {folder}`.")
    share = 1.0
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory() as temporary:
            tokens = _copy_share(folder, Path(temporary), share)
            archive.pack(Path(temporary), file)
        size = file.stat().st_size
        if size <= max_bytes:
            return tokens
        share *= _MARGIN * max_bytes / size
    file.unlink()
    raise SettingsError(f"Nothing of {folder} fits {max_bytes / 1e6:.0f} MB. Raise `--max-mb`.")


def _copy_share(folder: Path, target: Path, share: float) -> int:
    """Copy the corpus with the first ``share`` of its documents, from 0 to 1, to ``target``; the number of tokens."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    ids: Ids = np.fromfile(folder / "corpus.bin", dtype=np.uint16)
    ends = np.flatnonzero(ids == END_ID)
    count = max(1, int(len(ends) * share))
    kept = ids[: int(ends[count - 1]) + 1]
    kept.tofile(target / "corpus.bin")
    summary: dict[str, Any] = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    documents = summary["documents"][:count]
    names = {package for package, _ in documents}
    packages = [package for package in summary["packages"] if package[0] in names]
    if count < len(ends):
        summary.pop("characters", None)
    summary |= {"tokens": len(kept), "documents": documents, "packages": packages}
    (target / "corpus.json").write_text(json.dumps(summary), encoding="utf-8")
    rows = (f"| {name} | {version} | {' '.join(licence.split())} |\n" for name, version, licence in packages)
    (target / LICENCES_FILE).write_text(_LICENCES + "".join(rows), encoding="utf-8")
    return len(kept)
