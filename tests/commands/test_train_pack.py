"""``starcoder-ls train pack`` and ``train unpack``, as command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands import train_pack
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.corpus import Corpus
from training_corpus import run_command_line, write_training_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_corpus(tmp_path_factory.mktemp("corpus"))


def test_unpacked_corpus_equals_the_packed_one(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, copy = tmp_path / "corpus.tar.xz", tmp_path / "copy"
    assert run_command_line("train", "pack", corpus, packed) == 0
    assert f"{Corpus(corpus).tokens:,} tokens" in " ".join(capsys.readouterr().err.split())
    assert run_command_line("train", "unpack", packed, copy) == 0
    for part in (".", "heldout"):
        assert list(Corpus(copy / part).sources()) == list(Corpus(corpus / part).sources())


def test_limit_is_in_megabytes_and_refused_if_nothing_fits(corpus: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    assert run_command_line("train", "pack", corpus, packed, "--max-mb", "0.02") == 0
    assert 10_000 < packed.stat().st_size <= 20_000
    packed.unlink()
    with pytest.raises(SettingsError, match="Raise `--max-mb`"):
        train_pack.run(corpus, packed, 1_000)
    assert not packed.exists()


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive", encoding="utf-8")
    with pytest.raises(SettingsError, match="text"):
        run_command_line("train", "unpack", tmp_path / "text", tmp_path / "copy")
