import dataclasses

import pytest

from starcoder_ls.engine.loading.checkpoint_sizes import ModelSizes
from starcoder_ls.errors import OutOfMemory
from starcoder_ls.learning.finetuning.resources import TrainingSize, base_bytes_per_value, choose_checkpointing

GB = 1e9
STARCODERS = {
    "1B": (24, 2048, 16, 1.14),
    "3B": (36, 2816, 22, 3.04),
    "7B": (42, 4096, 32, 7.33),
    "15B": (40, 6144, 48, 15.5),
}


def training_size(name: str, quantization: str, trained: float = 0.01, tokens: int = 2048) -> TrainingSize:
    layers, width, heads, billions = STARCODERS[name]
    sizes = ModelSizes(layers, width, heads, 1, width // heads, 4 * width, 8192, 49152)
    return TrainingSize(
        sizes, int(billions * 1e9), int(trained * billions * 1e9), tokens, base_bytes_per_value(quantization, False)
    )


@pytest.mark.parametrize(
    ("name", "quantization", "gigabytes"),
    [
        ("1B", "none", 3.8),
        ("3B", "none", 8.0),
        ("7B", "none", 17.2),
        ("15B", "none", 34.3),
        ("7B", "nf4", 6.7),
        ("15B", "nf4", 11.8),
    ],
)
def test_memory_is_that_of_the_published_table(name: str, quantization: str, gigabytes: float) -> None:
    needed = training_size(name, quantization, trained=0.002).memory_bytes(is_checkpointed=True) / GB
    assert needed == pytest.approx(gigabytes, rel=0.18)


def test_checkpointing_is_chosen_when_the_activations_do_not_fit() -> None:
    size = training_size("1B", "none")
    assert not choose_checkpointing(size, int(100 * GB), "cuda")
    assert choose_checkpointing(size, int(size.memory_bytes(False) - 1), "cuda")
    with pytest.raises(OutOfMemory, match="--method prompt"):
        choose_checkpointing(size, int(size.memory_bytes(False) - 1), "cuda", is_possible=False)
    assert size.operations(True) == 1.5 * size.operations(False)


@pytest.mark.parametrize(
    ("quantization", "device", "trained", "advice"),
    [
        ("none", "cuda", 0.01, "--quantization nf4"),
        ("nf4", "cuda", 0.01, "--batch-tokens"),
        ("none", "cpu", 0.01, "a GPU"),
        ("none", "cuda", 1.0, "--method lora"),
    ],
)
def test_run_that_cannot_fit_is_refused_with_a_way_out(
    quantization: str, device: str, trained: float, advice: str
) -> None:
    with pytest.raises(OutOfMemory, match=r"needs about .* GB and .* has 2\.0 GB free") as caught:
        choose_checkpointing(training_size("7B", quantization, trained), int(2 * GB), device)
    assert advice in str(caught.value)


def test_attention_that_is_kept_is_counted() -> None:
    flash = training_size("1B", "none")
    kept = dataclasses.replace(flash, attention_row_tokens=2048)
    assert kept.memory_bytes(False) - flash.memory_bytes(False) == 24 * 16 * 2048 * (2048 + 128)
