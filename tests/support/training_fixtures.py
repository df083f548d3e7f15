"""Small bases and source files for the tests of training."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.load_model import load_unquantized
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.learning.finetuning.fim_rows import FimRows, RowFormat
from starcoder_ls.text_tokens.tokenizer import Tokenizer

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def code(topic: str, functions: int = 8) -> str:
    """Functions about a topic; two topics share few lines."""
    return "".join(
        f"def {topic}_{number}({topic}, amount):\n    total = {topic}.price * amount + {number}\n"
        f"    return {topic}.label, total\n\n\n"
        for number in range(functions)
    )


def texts(count: int = 4) -> list[tuple[str, str]]:
    return [(f"shop/{name}.py", code(name)) for name in ("apple", "brick", "cloud", "drum", "eagle", "flute")[:count]]


def load_base(folder: Path) -> tuple[Any, Checkpoint, Tokenizer]:
    checkpoint = read_checkpoint(folder)
    model = load_unquantized(checkpoint, torch.float32, ignore_progress)
    return model, checkpoint, Tokenizer.from_folder(folder, checkpoint.vocabulary_size)


def rows_of(checkpoint: Checkpoint, tokenizer: Tokenizer, **options: Any) -> FimRows:
    arguments = {"row_tokens": 128, "batch_rows": 1, **options}
    return FimRows(texts(), RowFormat.of(checkpoint, tokenizer), **arguments)


def write_repository(folder: Path, files: Mapping[str, str]) -> Path:
    """``folder`` as a git repository without commits."""
    (folder / ".git").mkdir(parents=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def commit(folder: Path, names: list[str], date: str) -> None:
    """Commit files at a date, such as 2026-01-01T00:00:00Z."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    environment = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    if not (folder / ".git" / "HEAD").exists():
        subprocess.run(["git", "init", "-q", str(folder)], env=environment, check=True)
    subprocess.run(["git", "-C", str(folder), "add", *names], env=environment, check=True)
    subprocess.run(["git", "-C", str(folder), *identity, "commit", "-q", "-m", "x"], env=environment, check=True)
