from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from starcoder_ls.context.source_files import Source
from starcoder_ls.learning import corpus, fim, tokenizer_training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    texts = [
        Source("pkg", f"pkg/{p.name}", p.read_text(encoding="utf-8"))
        for p in sorted(Path(corpus.__file__).parent.glob("*.py"))
    ]
    tokenizer = tokenizer_training.train_tokenizer([t.text for t in texts], 800)
    tokenizer_training.save_tokenizer(tokenizer, folder)
    assert corpus.write_corpus(folder, tokenizer, texts, []) == (folder / "corpus.bin").stat().st_size // 2
    return folder


def test_row_depends_only_on_seed_and_index(folder: Path) -> None:
    def ids(data: corpus.Corpus, seed: int, index: int) -> list[int]:
        return [int(i) for i in data.row(seed, index, 256)[0]]

    first, second = corpus.Corpus(folder), corpus.Corpus(folder)
    ids(first, 1, 7)
    assert ids(first, 1, 3) == ids(second, 1, 3)
    assert ids(first, 1, 3) != ids(first, 1, 4)
    assert ids(first, 1, 3) != ids(first, 2, 3)


def examples(data: corpus.Corpus, rows: int = 60, length: int = 256) -> Iterator[tuple[list[int], int]]:
    """(ids of an example without its end token, number of ids in its middle)."""
    for number in range(rows):
        ids, is_middle = data.row(0, number, length)
        start = 0
        for end in np.flatnonzero(ids == corpus.END_ID):
            yield [int(i) for i in ids[start:end]], int(is_middle[start:end].sum())
            start = int(end) + 1


def test_row_has_complete_examples_and_then_padding(folder: Path) -> None:
    data = corpus.Corpus(folder)
    for number in range(60):
        ids, is_middle = data.row(0, number, 300)
        assert len(ids) == len(is_middle) == 300
        last = np.flatnonzero(ids == corpus.END_ID)[-1]
        assert set(ids[last + 1 :].tolist()) <= {corpus.PAD_ID}


def test_examples_have_special_tokens_in_psm_or_spm_order(folder: Path) -> None:
    orders = {"psm": 0, "spm": 0}
    for ids, middle_tokens in examples(corpus.Corpus(folder, fim.Mixture(fim_share=1.0, metadata_share=0.0))):
        special_ids = [i for i in ids if i in (corpus.FIM_PREFIX_ID, corpus.FIM_MIDDLE_ID, corpus.FIM_SUFFIX_ID)]
        assert special_ids == [corpus.FIM_PREFIX_ID, corpus.FIM_SUFFIX_ID, corpus.FIM_MIDDLE_ID]
        assert middle_tokens <= len(ids) - ids.index(corpus.FIM_MIDDLE_ID) - 1
        orders["spm" if ids[1] == corpus.FIM_SUFFIX_ID else "psm"] += 1
    assert min(orders.values()) > 0.3 * sum(orders.values())


def test_prefix_middle_and_suffix_join_to_text_of_a_document(folder: Path) -> None:
    data = corpus.Corpus(folder, fim.Mixture(fim_share=1.0, metadata_share=0.0))
    files = sorted(Path(corpus.__file__).parent.glob("*.py"))
    all_text = "".join(p.read_text(encoding="utf-8") for p in files)
    for ids, middle_tokens in examples(data):
        middle_mark, suffix_mark = ids.index(corpus.FIM_MIDDLE_ID), ids.index(corpus.FIM_SUFFIX_ID)
        middle = ids[len(ids) - middle_tokens :]
        prefix = ids[middle_mark + 1 : len(ids) - middle_tokens] if suffix_mark == 1 else ids[1:suffix_mark]
        suffix = ids[2:middle_mark] if suffix_mark == 1 else ids[suffix_mark + 1 : middle_mark]
        assert data.decode(prefix + middle + suffix) in all_text


def test_metadata_comes_before_the_prefix(folder: Path) -> None:
    data = corpus.Corpus(folder, fim.Mixture(fim_share=1.0, metadata_share=1.0, spm_share=0.0))
    assert any(ids[:2] == [corpus.FIM_PREFIX_ID, corpus.REPOSITORY_ID] for ids, _ in examples(data))
