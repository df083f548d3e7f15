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

_ATTEMPTS = 8
_MARGIN, _ENOUGH = 0.98, 0.95
"""Of the limit: the size that is aimed at, and the size from which no larger one is tried."""

_LICENCES = """# Licences of this corpus

Python source code of these packages, as token ids, each under the licence that its own metadata names. Packages with
any other licence were left out (`starcoder_ls.learning.sources`). The files in `heldout` are for measuring only.

| package | version | licence |
|---|---|---|
"""


def pack_corpus(folder: Path, file: Path, max_bytes: int) -> int:
    """Write the corpus ``folder`` to ``file``, with as many of its documents as fit ``max_bytes``; the tokens in it.

    "As many" ends at 95 % of ``max_bytes``: each attempt compresses the whole corpus. Documents are in random order, so
    that the first ones are a sample of all. Raises SettingsError if there is no
    corpus or nothing of it fits, OSError.
    """
    if not (folder / "corpus.bin").is_file():
        raise SettingsError(f"{folder} has no corpus.bin. Create it with `starcoder-ls train corpus {folder}`.")
    file.parent.mkdir(parents=True, exist_ok=True)
    documents = len(json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["documents"])
    count, fitting, tokens, sizes = documents, 0, 0, dict[int, int]()
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=file.parent) as temporary:
            copy, packed = Path(temporary) / "corpus", Path(temporary) / "packed"
            copied = _copy_first(count, folder, copy)
            archive.pack(copy, packed)
            sizes[count] = packed.stat().st_size
            if sizes[count] <= max_bytes:
                fitting, tokens = count, copied
                packed.replace(file)
        too_many = min((known for known, size in sizes.items() if size > max_bytes), default=documents + 1)
        if too_many - fitting <= 1 or sizes.get(fitting, 0) >= _ENOUGH * max_bytes:
            break
        count = min(max(_estimate_count(sizes, _MARGIN * max_bytes), fitting + 1), too_many - 1)
    if not fitting:
        raise SettingsError(f"Nothing of {folder} fits {max_bytes / 1e6:g} MB. Raise `--max-mb`.")
    return tokens


def _estimate_count(sizes: dict[int, int], target_bytes: float) -> int:
    """How many documents have ``target_bytes``, from the sizes of other counts, by a straight line through the nearest.

    Every archive contains the held-out documents, so that sizes are not proportional to counts.
    """
    near = sorted(sizes, key=lambda count: abs(sizes[count] - target_bytes))[:2]
    if len(near) < 2 or sizes[near[0]] == sizes[near[1]]:
        return int(near[0] * target_bytes / sizes[near[0]])
    slope = (sizes[near[1]] - sizes[near[0]]) / (near[1] - near[0])
    return int(near[0] + (target_bytes - sizes[near[0]]) / slope)


def _copy_first(count: int, folder: Path, target: Path) -> int:
    """Copy the corpus with the first ``count`` of its documents to ``target``; the number of tokens."""
    shutil.copytree(folder, target)
    ids: Ids = np.fromfile(folder / "corpus.bin", dtype=np.uint16)
    ends = np.flatnonzero(ids == END_ID)
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
