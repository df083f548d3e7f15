from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from starcoder_ls.commands import train_explain
from starcoder_ls.context.source_files import Source
from starcoder_ls.engine.adapters.files import check_adapter_folder
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import corpus, tokenizer_training

OPTIONS = {"epochs": 1, "learning_rate": 1e-2, "bottleneck_size": 4, "max_example_tokens": 200}
WORDS = ("apple", "brick", "cloud", "drum", "eagle", "flute", "grape", "house")


def documented(topic: str) -> str:
    """A function whose docstring says more than its name."""
    return (
        f'def f_{topic}(x):\n    """Count the {topic}s that are left in the box."""\n    y = x + 1\n    return y\n\n\n'
    )


def write_corpora(folder: Path, words: Sequence[str] = WORDS) -> Path:
    sources = [Source("p", f"{word}.py", documented(word) * 3) for word in words]
    tokenizer = tokenizer_training.train_tokenizer([source.text for source in sources], 300)
    for part, files in ((folder, sources), (folder / "heldout", sources[:2])):
        part.mkdir(parents=True, exist_ok=True)
        tokenizer_training.save_tokenizer(tokenizer, part)
        corpus.write_corpus(part, tokenizer, files, [])
    return folder


def test_adapter_is_trained_with_its_held_out_loss_and_names_its_base(
    starcoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "adapter"
    code = train_explain.run(write_corpora(tmp_path / "corpus"), out, str(starcoder), 8, OPTIONS, "cpu", "float32")
    assert code == 0
    assert "held-out loss" in capsys.readouterr().out
    files = check_adapter_folder(out)
    assert files.base_fingerprint
    assert files.config.method.peft_type == "BOTTLENECK"
    assert not (out / "training").exists()


def test_interrupted_run_is_not_continued_on_another_corpus(starcoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    obstacle = out / "adapter_config.json"  # a folder: the run ends when its weights are written
    obstacle.mkdir(parents=True)
    first = write_corpora(tmp_path / "first")
    other = write_corpora(tmp_path / "other", [word.upper() for word in WORDS])

    def train(folder: Path) -> int:
        return train_explain.run(folder, out, str(starcoder), 8, OPTIONS, "cpu", "float32")

    with pytest.raises(OSError, match="adapter_config"):
        train(first)
    obstacle.rmdir()
    with pytest.raises(SettingsError, match="other data"):
        train(other)
    assert train(first) == 0
