"""What tells two runs of a measurement apart: digests of texts, and of the weights in a folder without reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from starcoder_ls.settings import Settings

_WEIGHT_SUFFIXES = (".safetensors", ".json")


def digest(texts: Iterable[str]) -> str:
    """In hexadecimal digits; it differs if the texts differ or are divided otherwise."""
    found = hashlib.sha256()
    for text in texts:
        encoded = text.encode(errors="surrogatepass")
        found.update(f"{len(encoded)}\n".encode())
        found.update(encoded)
    return found.hexdigest()


def settings_text(config: Settings) -> str:
    """All settings that answers may depend on but the model's name and the adapters."""
    return config.model_dump_json(exclude={"adapters": True, "model": {"name"}})


def weight_files(model: str, ignored: str = "") -> Iterator[str]:
    """Names, sizes and times of the files in a folder with weights, except ``ignored``; none if it is no folder."""
    folder = Path(model)
    if model and folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.suffix in _WEIGHT_SUFFIXES and file.name != ignored:
                status = file.stat()
                yield f"{file.name} {status.st_size} {status.st_mtime_ns}"
