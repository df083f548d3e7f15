"""A config that states other sizes than the tensors have is refused before a model is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checkpoints import copy_checkpoint, edit_config
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.errors import ModelInvalid, ModelUnsupported


@pytest.fixture
def folder(starcoder: Path, tmp_path: Path) -> Path:
    return copy_checkpoint(starcoder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 10**7}, "`n_layer` to 10000000, but it must be an integer from 1 to 512"),
        ({"n_layer": 500}, "states 500 layers, and the weights have 2"),
        ({"num_hidden_layers": 10**7}, "`num_hidden_layers` to 10000000"),
        ({"num_hidden_layers": 3}, "n_layer and num_hidden_layers to different values"),
        ({"n_head": 0}, "`n_head` to 0"),
        ({"n_head": -4}, "`n_head` to -4"),
        ({"n_head": "4"}, "`n_head` to '4'"),
        ({"n_head": True}, "`n_head` to True"),
        ({"n_head": 4.0}, "`n_head` to 4.0"),
        ({"n_head": [4]}, "`n_head` to"),
        ({"n_head": 5}, "do not divide each other"),
        ({"head_dim": 10**6}, "`head_dim` to"),
        ({"n_embd": 10**9}, "`n_embd` to"),
        ({"n_embd": 4800}, "describes a model of"),
        ({"n_inner": 10**6}, "describes a model of"),
        ({"n_inner": 10**12}, "`n_inner` to"),
        ({"n_positions": 10**5}, "`n_positions` to"),
        ({"n_positions": 30_000}, "describes a model of"),
        ({"vocab_size": 10**9}, "`vocab_size` to"),
        ({"vocab_size": "640"}, "`vocab_size` to '640'"),
    ],
)
def test_size_that_the_weights_do_not_have_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelInvalid, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("family", ["starcoder2", "llama", "qwen2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**7},
        {"num_attention_heads": 0},
        {"num_key_value_heads": 3},
        {"num_key_value_heads": 0},
        {"head_dim": 10**6},
        {"hidden_size": "48"},
        {"intermediate_size": 10**6},
        {"max_position_embeddings": 10**12},
    ],
)
def test_every_architecture_is_checked(
    family: str, changes: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = copy_checkpoint(request.getfixturevalue(family), tmp_path / "copy")
    edit_config(folder, **changes)
    with pytest.raises(ModelInvalid):
        read_checkpoint(folder)


@pytest.mark.parametrize("model_type", ["as saved", None])
@pytest.mark.parametrize("family", ["starcoder", "starcoder2", "llama", "qwen2"])
def test_architecture_is_found_without_its_name(
    family: str, model_type: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    saved = request.getfixturevalue(family)
    folder = copy_checkpoint(saved, tmp_path / "copy")
    edit_config(folder, architectures=None, **({"model_type": None} if model_type is None else {}))
    assert read_checkpoint(folder).architecture == read_checkpoint(saved).architecture


def test_unknown_model_type_without_an_architecture_is_refused(folder: Path) -> None:
    edit_config(folder, architectures=None, model_type="gpt2")
    with pytest.raises(ModelUnsupported, match="its tensors do not tell"):
        read_checkpoint(folder)


@pytest.mark.parametrize("stated", [639, 641, 49152])
def test_number_of_embeddings_is_that_of_the_tensors(folder: Path, stated: int) -> None:
    edit_config(folder, vocab_size=stated)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.vocabulary_size == checkpoint.config["vocab_size"] == 640
