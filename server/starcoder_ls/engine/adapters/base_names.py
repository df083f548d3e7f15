"""Which base model an adapter was made for, as far as names and files tell.

Two bases of the same architecture and sizes cannot be told apart by an adapter's tensors.
"""

from __future__ import annotations

import re
from pathlib import Path

from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.errors import ModelError

# The bases of the supported architectures that adapters are published for, by the last part of their Hub ids.
_KNOWN_BASES = re.compile(
    r"(tiny_starcoder_py|santacoder|gpt_bigcode-santacoder|starcoder(base|plus)?(-[137]b)?|starcoder2-(3|7|15)b"
    r"|starcoder2-15b-instruct.*|octocoder|starchat-.*|wizardcoder-.*|codellama-\d+b.*|deepseek-coder-[\d.]+b.*"
    r"|qwen2\.5-coder-[\d.]+b.*|bundled)"
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CACHED_MODEL = re.compile(r"models--(.+?)--(.+)")


def is_same_name(base_name: str, model_name: str) -> bool:
    """Whether two names, Hub ids or paths mean the same model. An empty ``base_name`` means any."""
    return not base_name or model_id(base_name) == model_id(model_name)


def model_id(name: str) -> str:
    """The last part of a Hub id or path in lower case; for a folder of the Hub's cache, that of the Hub id."""
    parts = [part for part in re.split(r"[/\\]+", name) if part]
    cached = next((match for part in parts if (match := _CACHED_MODEL.fullmatch(part))), None)
    return cached[2].lower() if cached else parts[-1].lower() if parts else ""


def is_other_base(base_name: str, model_name: str, checkpoint: Checkpoint) -> bool:
    """Whether ``base_name`` certainly is another model than ``checkpoint``, which the settings call ``model_name``.

    A folder on this machine is compared by its fingerprint. Otherwise the names must differ, and ``base_name`` must be
    that of a known base, or both must be Hub ids: an unknown name may be an older path of the same model.
    """
    folder = Path(base_name).expanduser() if base_name else None
    if folder is not None and folder.is_absolute() and (folder / "config.json").is_file():
        try:
            return compute_fingerprint(read_checkpoint(folder)) != compute_fingerprint(checkpoint)
        except ModelError:
            return False
    if is_same_name(base_name, model_name):
        return False
    are_hub_ids = all(_HUB_ID.fullmatch(name) and not Path(name).exists() for name in (base_name, model_name))
    return are_hub_ids or _KNOWN_BASES.fullmatch(model_id(base_name)) is not None
