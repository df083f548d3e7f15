from __future__ import annotations

import random
from pathlib import Path

import pytest

from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.generation import SpecialToken
from starcoder_ls.learning.finetuning.fim_rows import MIDDLE_WEIGHT, FimRows, RowFormat
from starcoder_ls.text_tokens.tokenizer import Tokenizer
from training_fixtures import code, rows_of, texts

FAMILIES = ("starcoder", "starcoder2", "llama", "qwen2", "santacoder")


def format_of(folder: Path) -> RowFormat:
    checkpoint = read_checkpoint(folder)
    return RowFormat.of(checkpoint, Tokenizer.from_folder(folder, checkpoint.vocabulary_size))


@pytest.mark.parametrize("name", FAMILIES)
def test_examples_are_prompts_of_the_family_followed_by_their_middle(name: str, request: pytest.FixtureRequest) -> None:
    row_format = format_of(request.getfixturevalue(name))
    family, tokenizer = row_format.family, row_format.tokenizer
    rows = FimRows(texts(), row_format, row_tokens=256, batch_rows=1)
    prefix, suffix, middle = (
        tokenizer.special_token_id(SpecialToken(t)) for t in (family.prefix, family.suffix, family.middle)
    )
    sources = [text for _, text in texts()]
    middles = 0
    for index in range(6):
        ids, weights, is_middle = rows.row(index)
        assert len(ids) == len(weights) == len(is_middle) <= 256
        flags = [*is_middle, False]
        for end in (index for index in range(len(is_middle)) if flags[index] and not flags[index + 1]):
            start = end
            while start and is_middle[start - 1]:
                start -= 1
            middles += 1
            learned = [id_ for id_ in ids[start : end + 1] if id_ != row_format.end_id]
            assert set(weights[start : end + 1]) == {MIDDLE_WEIGHT}
            text = tokenizer.decode(learned).lstrip(" ")
            assert any(text in source for source in sources), text
        assert ids.count(prefix) == ids.count(suffix) == ids.count(middle) <= 6
    orders = {row_format.order(random.Random(seed), 0.5) for seed in range(20)}
    assert orders == ({"spm", "psm"} if family.has_spm else {"psm_line", "psm"})
    assert middles > 5


def test_batch_has_the_shares_of_n_grams_at_its_middles(starcoder: Path) -> None:
    strengths = NgramStrengths({f"{length}/{count}/one": 0.5 for length in (6, 8, 11, 15) for count in (1, 2, 3, 4)})
    rows = FimRows(texts(), format_of(starcoder), 256, 4, strengths=strengths)
    batch = rows.batch(0)
    assert batch.model_share is not None
    assert batch.ngram_share is not None
    for number in range(4):
        ids = batch.ids[number].tolist()
        for middle in rows.middles(number):
            assert tuple(ids[middle.start : middle.start + len(middle.ids)]) == middle.ids
    assert not batch.ngram_share[~batch.is_middle].any()
    assert batch.ngram_share.max() > 0.4
    assert batch.model_share.min() < 0.6
    plain = FimRows(texts(), format_of(starcoder), 256, 4).batch(0)
    assert plain.model_share is None
    assert (plain.ids == batch.ids).all()


def test_rows_depend_on_the_step_alone(starcoder: Path) -> None:
    checkpoint = read_checkpoint(starcoder)
    tokenizer = Tokenizer.from_folder(starcoder, checkpoint.vocabulary_size)
    first, second = (rows_of(checkpoint, tokenizer, batch_rows=2) for _ in range(2))
    batches = [first.batch(step) for step in range(4)]
    assert all((second.batch(step).ids == batches[step].ids).all() for step in (3, 1, 0, 2))
    assert batches[0].ids[0, :60].tolist() != batches[1].ids[0, :60].tolist()


def test_code_llamas_middle_ends_with_its_own_token(llama: Path, qwen2: Path) -> None:
    assert format_of(llama).end_id == format_of(llama).tokenizer.special_token_id(SpecialToken("▁<EOT>"))
    assert format_of(qwen2).end_id == 0


def test_special_tokens_in_a_file_stay_text(starcoder: Path) -> None:
    row_format = format_of(starcoder)
    marked = [("a.py", code("apple") + "# <fim_middle> <|endoftext|>\n" * 20)]
    rows = FimRows(marked, row_format, row_tokens=200, batch_rows=1)
    for index in range(6):
        ids = rows.row(index)[0]
        assert ids.count(2) <= 4, "one for each example"


def test_replayed_code_has_its_share_and_epochs_decide_the_length(starcoder: Path) -> None:
    row_format = format_of(starcoder)
    replayed = [("other.py", "".join(f"zebra_{number} = quagga({number})\n" for number in range(60)))]
    rows = FimRows(texts(), row_format, 128, 1, epochs=2, replay=replayed, replay_share=0.5)
    assert len(rows) == round(2 * rows.tokens / 128)
    decoded = [row_format.tokenizer.decode(rows.row(index)[0]) for index in range(20)]
    assert 3 <= sum("quagga" in text for text in decoded) <= 19
    assert not any(
        "quagga" in row_format.tokenizer.decode(FimRows(texts(), row_format, 128, 1).row(i)[0]) for i in range(8)
    )
