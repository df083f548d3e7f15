from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from starcoder_ls.learning import corpus, fim, tokenizer_training
from starcoder_ls.learning.sources import Source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("corpus")
    texts = [
        Source("pkg", f"pkg/{p.name}", p.read_text(encoding="utf-8"))
        for p in sorted(Path(corpus.__file__).parent.glob("*.py"))
    ]
    tokenizer = tokenizer_training.trained([t.text for t in texts], 800)
    tokenizer_training.save(tokenizer, place)
    assert corpus.write(place, tokenizer, texts, []) == (place / "corpus.bin").stat().st_size // 2
    return place


def test_row_depends_on_seed_and_number_only(folder: Path) -> None:
    def ids(data: corpus.Corpus, seed: int, number: int) -> list[int]:
        return [int(i) for i in data.row(seed, number, 256)[0]]

    one, two = corpus.Corpus(folder), corpus.Corpus(folder)
    ids(one, 1, 7)
    assert ids(one, 1, 3) == ids(two, 1, 3)
    assert ids(one, 1, 3) != ids(one, 1, 4)
    assert ids(one, 1, 3) != ids(one, 2, 3)


def examples(data: corpus.Corpus, rows: int = 60, length: int = 256) -> Iterator[tuple[list[int], int]]:
    """(ids of one whole example, how many of them are its middle)."""
    for number in range(rows):
        ids, is_middle = data.row(0, number, length)
        begin = 0
        for end in np.flatnonzero(ids == corpus.END):
            yield [int(i) for i in ids[begin:end]], int(is_middle[begin:end].sum())
            begin = int(end) + 1


def test_every_example_is_whole_and_ends(folder: Path) -> None:
    data = corpus.Corpus(folder)
    for number in range(60):
        ids, is_middle = data.row(0, number, 300)
        assert len(ids) == len(is_middle) == 300
        last = np.flatnonzero(ids == corpus.END)[-1]
        assert set(ids[last + 1 :].tolist()) <= {corpus.PAD}


def test_marks_stand_in_both_trained_orders(folder: Path) -> None:
    orders = {"psm": 0, "spm": 0}
    for ids, middle_tokens in examples(corpus.Corpus(folder, fim.Recipe(fim_share=1.0, metadata_share=0.0))):
        marks = [i for i in ids if i in (corpus.PREFIX, corpus.MIDDLE, corpus.SUFFIX)]
        assert marks == [corpus.PREFIX, corpus.SUFFIX, corpus.MIDDLE]
        assert middle_tokens <= len(ids) - ids.index(corpus.MIDDLE) - 1
        orders["spm" if ids[1] == corpus.SUFFIX else "psm"] += 1
    assert min(orders.values()) > 0.3 * sum(orders.values())


def test_infilling_example_is_a_piece_of_a_document_again(folder: Path) -> None:
    data = corpus.Corpus(folder, fim.Recipe(fim_share=1.0, metadata_share=0.0))
    files = sorted(Path(corpus.__file__).parent.glob("*.py"))
    everything = "".join(p.read_text(encoding="utf-8") for p in files)
    for ids, middle_tokens in examples(data):
        at, suffix = ids.index(corpus.MIDDLE), ids.index(corpus.SUFFIX)
        middle = ids[len(ids) - middle_tokens :]
        prefix = ids[at + 1 : len(ids) - middle_tokens] if suffix == 1 else ids[1:suffix]
        below = ids[2:at] if suffix == 1 else ids[suffix + 1 : at]
        assert data.decode(prefix + middle + below) in everything


def test_metadata_stands_before_the_prefix_text(folder: Path) -> None:
    data = corpus.Corpus(folder, fim.Recipe(fim_share=1.0, metadata_share=1.0, spm_share=0.0))
    assert any(ids[:2] == [corpus.PREFIX, corpus.REPOSITORY] for ids, _ in examples(data))
