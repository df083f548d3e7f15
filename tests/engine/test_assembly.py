from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import chat_templates
import checkpoints
import manual_decoding
from starcoder_ls.engine import assembly
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.engine.loading.safetensors_files import INDEX_FILE, SINGLE_FILE
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.errors import ModelInvalid, OutOfMemory
from starcoder_ls.settings import Model
from starcoder_ls.text_tokens.chat_template import read_chat_format

IDS = list(range(20, 60))


@pytest.fixture
def folder(starcoder: Path, tmp_path: Path) -> Path:
    return checkpoints.copy_checkpoint(starcoder, tmp_path / "copy")


def loaded_from(folder: Path, **settings: object) -> LoadedModel:
    return load(Model.model_validate({"name": str(folder), "device": "cpu"} | settings), lambda *_: None)


def logits_of(loaded: LoadedModel) -> torch.Tensor:
    return manual_decoding.forward(loaded.runner, [IDS], KvCache(loaded.runner.layers, 64))[0]


@pytest.mark.parametrize("family", ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"])
def test_logits_equal_those_of_a_model_loaded_by_transformers(family: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(family)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = model(torch.tensor([IDS])).logits[0, -1]
    torch.testing.assert_close(logits_of(loaded_from(folder, dtype="float32")), expected, rtol=1e-5, atol=1e-4)


def test_chat_template_of_the_checkpoint_is_in_the_status(folder: Path) -> None:
    assert loaded_from(folder).ready_status("mine").chat is None
    chat_templates.write_chat_template(folder, chat_templates.CHATML)
    status = loaded_from(folder).ready_status("mine")
    assert status.chat == read_chat_format(folder, status.special_tokens)
    assert status.chat is not None
    assert status.chat.before_question.endswith("<|im_start|>user\n")


@pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")
def test_weights_on_a_cpu_are_packed_and_counted_as_16_bits(tmp_path: Path) -> None:
    folder = checkpoints.gpt_bigcode(tmp_path / "wide", n_embd=128, n_head=2, n_inner=512)
    loaded = loaded_from(folder)
    values = sum(tensor.numel() for tensor in load_file(folder / SINGLE_FILE).values())
    tied = loaded.checkpoint.vocabulary_size * loaded.runner.model.config.n_embd  # read by row, and multiplied by
    assert 2 * (values + tied) <= loaded.bytes < 3 * (values + tied)
    assert loaded.ready_status("mine").dtype == "float16"


def test_weights_beyond_float16_are_refused_unless_bfloat16_is_set(folder: Path) -> None:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.1.mlp.c_fc.weight"][0, 0] = 1e6

    rewritten(folder, grow)
    with pytest.raises(ModelInvalid, match=r"beyond float16.*bfloat16"):
        loaded_from(folder)
    assert loaded_from(folder, dtype="bfloat16")


def test_memory_counts_tied_weights_once_and_no_causal_mask(starcoder: Path) -> None:
    """The embedding is the output layer as well; GPTBigCode's mask of context² bytes is dropped."""
    loaded = loaded_from(starcoder, dtype="float32")
    assert loaded.bytes == sum(tensor.nbytes for tensor in load_file(starcoder / SINGLE_FILE).values())


def test_shards_load_like_a_single_file(folder: Path) -> None:
    whole = logits_of(loaded_from(folder))
    tensors = load_file(folder / SINGLE_FILE)
    names = sorted(tensors)
    weight_map = {}
    for shard, part in (("model-a.safetensors", names[::2]), ("model-b.safetensors", names[1::2])):
        save_file({name: tensors[name] for name in part}, folder / shard, {"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    (folder / SINGLE_FILE).unlink()
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    # Tensors lie at other addresses of the files then, and kernels sum in another order.
    torch.testing.assert_close(logits_of(loaded_from(folder)), whole, rtol=1e-5, atol=1e-4)


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    tensors = load_file(folder / SINGLE_FILE)
    change(tensors)
    save_file(tensors, folder / SINGLE_FILE, {"format": "pt"})
    return folder


def test_missing_weights_are_refused(folder: Path) -> None:
    rewritten(folder, lambda tensors: tensors.__delitem__("transformer.h.1.mlp.c_fc.weight"))
    with pytest.raises(ModelInvalid, match=r"lacks weights: 1 tensors, such as transformer\.h\.1\.mlp\.c_fc\.weight"):
        loaded_from(folder)


def test_unexpected_weights_are_refused(folder: Path) -> None:
    rewritten(folder, lambda tensors: tensors.update({"transformer.h.2.ln_1.weight": torch.ones(48)}))
    with pytest.raises(ModelInvalid, match=r"does not use: 1 tensors, such as transformer\.h\.2\.ln_1\.weight"):
        loaded_from(folder)


def test_causal_masks_of_old_conversions_are_accepted(folder: Path) -> None:
    rewritten(folder, lambda tensors: tensors.update({"transformer.h.0.attn.masked_bias": torch.ones(1)}))
    loaded_from(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    checkpoints.edit_config(folder, n_inner=100)
    with pytest.raises(ModelInvalid, match="copy"):
        loaded_from(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    rewritten(folder, lambda tensors: tensors["transformer.h.1.ln_2.weight"].__setitem__(3, value))
    with pytest.raises(ModelInvalid, match=r"transformer\.h\.1\.ln_2\.weight, which is not finite"):
        loaded_from(folder)


def test_tokenizer_larger_than_the_model_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(checkpoints.byte_level_tokenizer(size=700))
    with pytest.raises(ModelInvalid, match="tokenizer of 700 tokens and a model of 640"):
        loaded_from(folder)


def test_code_in_the_checkpoint_folder_is_not_run(folder: Path) -> None:
    witness = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass Model: ...\n")
    checkpoints.edit_config(folder, auto_map={"AutoConfig": "evil.Model", "AutoModelForCausalLM": "evil.Model"})
    loaded_from(folder)
    assert not witness.exists()


def test_attention_implementation_of_the_checkpoint_is_ignored(folder: Path) -> None:
    """transformers would download a kernel repository that is named here."""
    checkpoints.edit_config(folder, _attn_implementation="owner/kernels", attn_implementation="owner/kernels")
    assert loaded_from(folder).runner.model.config._attn_implementation == "sdpa"


def test_host_out_of_memory_gives_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(assembly, "measure_chunk_tokens", exhausted)
    with pytest.raises(OutOfMemory, match=r"There was no room for .*copy while it loaded\. Choose a smaller model"):
        loaded_from(folder)


def test_progress_rises_and_names_its_stages(starcoder: Path) -> None:
    seen: list[tuple[float, str]] = []
    load(Model(name=str(starcoder), device="cpu"), lambda fraction, sentence: seen.append((fraction, sentence)))
    assert seen == sorted(seen, key=lambda report: report[0])
    sentences = [sentence for _, sentence in seen]
    assert any("weights" in sentence for sentence in sentences)
    assert sentences[-1] == "Warming up."


@pytest.mark.parametrize("cpu_kib", [60, 150])
def test_weights_beyond_max_memory_are_offloaded_to_disk(starcoder: Path, cpu_kib: int) -> None:
    """The smaller limit leaves little but the embedding in memory; the logits are equal."""
    resident = loaded_from(starcoder, dtype="float32")
    spread = loaded_from(starcoder, dtype="float32", max_memory={"cpu": f"{cpu_kib}KiB", "disk": "1GiB"})
    assert "disk" in spread.runner.model.hf_device_map.values()
    torch.testing.assert_close(logits_of(spread), logits_of(resident), rtol=1e-5, atol=1e-4)


def test_max_memory_that_holds_all_weights_offloads_none(starcoder: Path) -> None:
    spread = loaded_from(starcoder, dtype="float32", max_memory={"cpu": "1GiB"})
    assert all(weight.device.type == "cpu" for weight in spread.runner.model.parameters())
    torch.testing.assert_close(logits_of(spread), logits_of(loaded_from(starcoder, dtype="float32")))


def test_offloaded_weights_are_removed_with_the_model(
    starcoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spread = loaded_from(starcoder, max_memory={"cpu": "60KiB", "disk": "1GiB"})
    assert list(tmp_path.glob("starcoder-ls-*/*.dat")) or list(tmp_path.glob("starcoder-ls-*"))
    del spread
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_failed_load_leaves_nothing_on_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    rewritten(folder, lambda tensors: tensors.update({"transformer.h.2.ln_1.weight": torch.ones(48)}))
    with pytest.raises(ModelInvalid):
        loaded_from(folder, max_memory={"cpu": "60KiB", "disk": "1GiB"})
    assert not list((tmp_path / "temp").iterdir())


@pytest.mark.parametrize(("largest", "dtype"), [(1.0, torch.float16), (30_000.0, torch.float32)])
def test_float16_falls_back_to_float32_if_logits_are_not_finite(
    largest: float, dtype: torch.dtype, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU without bfloat16. The weights are within float16 and the activations are not."""

    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.1.ln_2.weight"].fill_(largest)

    rewritten(folder, grow)
    monkeypatch.setattr(
        assembly,
        "choose_placement",
        lambda *_: Placement("cpu", torch.float16, None, fallback_dtype=torch.float32),
    )
    loaded = loaded_from(folder)
    assert loaded.placement.dtype is dtype
    assert {weight.dtype for weight in loaded.runner.model.parameters()} == {dtype}
    assert logits_of(loaded).isfinite().all()


def test_quantization_that_is_slow_on_cuda_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly.quantization, "describe_drawback", lambda *_: "It is slow. Set it to another.")
    assert loaded_from(folder, dtype="float32").ready_status("mine").message == "It is slow. Set it to another."
