from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import copy_checkpoint, edit_config
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.errors import ModelInvalid, ModelNotFound, ModelUnsupported


@pytest.fixture
def folder(starcoder: Path, tmp_path: Path) -> Path:
    return copy_checkpoint(starcoder, tmp_path / "copy")


def test_sizes_and_end_tokens_are_read_from_the_files(folder: Path) -> None:
    edit_config(folder, eos_token_id=7)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 4]}))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.architecture == "GPTBigCodeForCausalLM"
    assert (checkpoint.context_tokens, checkpoint.vocabulary_size) == (256, 640)
    assert checkpoint.end_ids == {0, 4, 7}


@pytest.mark.parametrize("family", ["starcoder2", "llama", "qwen2", "santacoder"])
def test_supported_family_is_accepted(family: str, request: pytest.FixtureRequest) -> None:
    assert read_checkpoint(request.getfixturevalue(family)).context_tokens == 256


def test_missing_folder_raises_model_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"There is no folder .*absent\. Correct `model\.name`"):
        read_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize("architectures", [["GPT2LMHeadCustomModel"], [1], [[]], ["LlamaForCausalLM", "X"], "text", {}])
def test_unknown_architecture_raises_model_unsupported(folder: Path, architectures: object) -> None:
    edit_config(folder, architectures=architectures)
    with pytest.raises(ModelUnsupported, match=r"does not support\. Choose a checkpoint with one of GPTBigCode"):
        read_checkpoint(folder)


def test_quantized_checkpoint_raises_model_unsupported(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq"})
    with pytest.raises(ModelUnsupported, match="quantized"):
        read_checkpoint(folder)


@pytest.mark.parametrize("key", ["auto_map", "attn_implementation", "_attn_implementation", "transformers_weights"])
def test_keys_that_choose_code_or_files_are_ignored(folder: Path, key: str) -> None:
    edit_config(folder, **{key: {"AutoModelForCausalLM": "evil.Model"}})
    assert key not in read_checkpoint(folder).config


def test_adapter_beside_the_weights_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelInvalid, match=r"contains an adapter beside its weights.*`\[adapters\.NAME\]`"):
        read_checkpoint(folder)


def test_adapter_folder_as_a_model_is_refused_with_the_setting_to_use(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelInvalid, match=r"has no config\.json.*under `\[adapters\.NAME\]`"):
        read_checkpoint(tmp_path)


def test_missing_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelInvalid, match=r"has no tokenizer\.json"):
        read_checkpoint(folder)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_unreadable_config_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelInvalid, match=r"config\.json .*JSON"):
        read_checkpoint(folder)


@pytest.mark.parametrize("value", [None, "8192", -1])
def test_invalid_context_size_is_refused(folder: Path, value: object) -> None:
    edit_config(folder, n_positions=value)
    with pytest.raises(ModelInvalid, match="lacks `n_positions`" if value is None else "`n_positions` to"):
        read_checkpoint(folder)


@pytest.mark.parametrize("end", [640, -1, "0", [0, None], [[1]], {}, True])
def test_end_token_outside_the_vocabulary_is_refused(folder: Path, end: object) -> None:
    edit_config(folder, eos_token_id=end)
    with pytest.raises(ModelInvalid, match="outside its vocabulary"):
        read_checkpoint(folder)


def test_reading_a_checkpoint_does_not_import_torch(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from starcoder_ls.engine.loading.checkpoint import read_checkpoint;"
        f"read_checkpoint(Path({str(folder)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
