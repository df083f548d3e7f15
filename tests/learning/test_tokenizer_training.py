from pathlib import Path

from transformers import AutoTokenizer

from starcoder_ls.learning import tokenizer_training

TEXTS = [Path(tokenizer_training.__file__).read_text(encoding="utf-8")] * 3


def test_special_tokens_have_starcoders_ids() -> None:
    tokenizer = tokenizer_training.train_tokenizer(TEXTS, 600)
    assert [tokenizer.token_to_id(token) for token in tokenizer_training.SPECIAL_TOKENS] == list(range(19))


def test_digits_are_single_tokens_and_text_round_trips() -> None:
    tokenizer = tokenizer_training.without_special_tokens(tokenizer_training.train_tokenizer(TEXTS, 600))
    text = "x = 12345  # é 😀\n\treturn\r\n"
    assert [t for t in tokenizer.encode(text).tokens if t.isdigit()] == list("12345")
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_special_token_in_a_text_is_encoded_as_text() -> None:
    tokenizer = tokenizer_training.without_special_tokens(tokenizer_training.train_tokenizer(TEXTS, 600))
    assert min(tokenizer.encode("<fim_prefix>").ids) > 18


def test_saved_tokenizer_is_loaded_by_transformers(tmp_path: Path) -> None:
    trained = tokenizer_training.train_tokenizer(TEXTS, 600)
    tokenizer_training.save_tokenizer(trained, tmp_path)
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    assert loaded("x = 42\n    return").input_ids == trained.encode("x = 42\n    return").ids
    assert loaded.eos_token_id == 0
