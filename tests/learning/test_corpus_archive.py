from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import archive, corpus, corpus_archive
from training_corpus import write_training_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_corpus(tmp_path_factory.mktemp("corpus"))


def test_packed_corpus_has_the_same_rows(folder: Path, tmp_path: Path) -> None:
    before = corpus.Corpus(folder)
    assert corpus_archive.pack_corpus(folder, tmp_path / "corpus.tar.xz", 42_000_000) == before.tokens
    archive.unpack(tmp_path / "corpus.tar.xz", tmp_path / "copy")
    for part in (".", "heldout"):
        expected, found = corpus.Corpus(folder / part), corpus.Corpus(tmp_path / "copy" / part)
        for row in range(4):
            assert np.array_equal(found.row(1, row, 256)[0], expected.row(1, row, 256)[0])
    licences = (tmp_path / "copy" / corpus_archive.LICENCES_FILE).read_text(encoding="utf-8")
    assert "| pkg2 | 1.0 | MIT License |" in licences


def test_documents_that_do_not_fit_are_left_out(folder: Path, tmp_path: Path) -> None:
    tokens = corpus_archive.pack_corpus(folder, tmp_path / "whole.tar.xz", 42_000_000)
    limit = (tmp_path / "whole.tar.xz").stat().st_size * 8 // 10
    kept = corpus_archive.pack_corpus(folder, tmp_path / "corpus.tar.xz", limit)
    assert limit * 0.6 < (tmp_path / "corpus.tar.xz").stat().st_size <= limit
    archive.unpack(tmp_path / "corpus.tar.xz", tmp_path / "copy")
    cut = corpus.Corpus(tmp_path / "copy")
    assert 0 < kept == cut.tokens < tokens
    whole = list(corpus.Corpus(folder).sources())
    assert list(cut.sources()) == whole[: len(list(cut.sources()))]
    summary = json.loads((tmp_path / "copy" / "corpus.json").read_text(encoding="utf-8"))
    assert {package for package, *_ in summary["packages"]} == {package for package, _ in summary["documents"]}


@pytest.mark.parametrize("documents", [1, 5, 20])
def test_as_many_documents_as_fit_are_kept(folder: Path, tmp_path: Path, documents: int) -> None:
    file = tmp_path / "corpus.tar.xz"

    @functools.cache
    def size_of(count: int) -> int:
        """That of an archive with ``count`` documents: more of them can take less, as they compress better."""
        corpus_archive._copy_first(count, folder, tmp_path / f"first-{count}")
        archive.pack(tmp_path / f"first-{count}", tmp_path / "packed")
        return (tmp_path / "packed").stat().st_size

    limit = size_of(documents + 1) - 1
    corpus_archive.pack_corpus(folder, file, limit)
    archive.unpack(file, tmp_path / "copy")
    kept = len(json.loads((tmp_path / "copy" / "corpus.json").read_text(encoding="utf-8"))["documents"])
    assert file.stat().st_size <= limit
    assert file.stat().st_size >= 0.95 * limit or size_of(kept + 1) > limit


def test_limit_that_nothing_fits_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Raise `--max-mb`"):
        corpus_archive.pack_corpus(folder, tmp_path / "corpus.tar.xz", 1000)
    assert not (tmp_path / "corpus.tar.xz").exists()
    with pytest.raises(SettingsError, match=r"has no corpus\.bin"):
        corpus_archive.pack_corpus(tmp_path, tmp_path / "corpus.tar.xz", 1000)
