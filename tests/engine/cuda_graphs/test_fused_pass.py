"""One compiled pass serves every length: with torch's tracer, backends that stand for inductor, and inductor itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch._dynamo.utils import counters
from torch._inductor import cpp_builder
from torch._inductor.utils import clear_caches, run_and_get_code

import checkpoints
from starcoder_ls.engine.cuda_graphs import fused_pass, gqa_attention
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.fused_pass import FusedPass
from starcoder_ls.engine.cuda_graphs.static_pass import StaticPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.static_kv import StaticKv
from starcoder_ls.engine.model_shape import key_value_shape
from starcoder_ls.errors import DeviceFailed

BUCKETS = [Bucket(1, 1, 16), Bucket(1, 1, 64), Bucket(1, 2, 32), Bucket(1, 4, 64), Bucket(1, 8, 16), Bucket(1, 32, 128)]
CPU = torch.device("cpu")
CHEAP_KERNELS = {"compile_threads": 1, "aot_inductor.debug_compile": True, "cpp.simdlen": 1}
"""C++ without optimization and vectors, compiled in this process: half the time, and the same graph."""


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    return tmp_path / "inductor"


class Passes:
    """Both passes of one model over the same static rows, filled with random states."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        shape = key_value_shape(model.config)
        self.model, self.static_pass = model, StaticPass(model, 2, CPU, dtype)
        self.static_kvs = [StaticKv(rows, tokens, shape, CPU, dtype) for rows, tokens in ((2, 69), (1, 200))]

    def static_kv_for(self, bucket: Bucket) -> StaticKv:
        return next(static_kv for static_kv in self.static_kvs if static_kv.tokens >= bucket.kv_tokens)

    def compile(self, fused: FusedPass) -> None:
        fused.compile(None, self.model, 16, lambda bucket: self.static_pass.tensors(self.static_kvs[0], bucket))

    def run(self, bucket: Bucket, compute: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits [new tokens, vocabulary], and all keys and values afterwards."""
        static_kv = self.static_kv_for(bucket)
        static_kv._pool.normal_(generator=torch.Generator().manual_seed(1))
        ids = [list(range(5, 5 + bucket.new_tokens))]
        self.static_pass.write_inputs(bucket, ids, [min(9, bucket.kv_tokens - bucket.new_tokens)])
        self.static_pass.build(static_kv, bucket, compute)()
        logits, likeliest = self.static_pass.read_outputs(bucket)
        assert [token.id for token in likeliest[0]] == logits[0].argmax(-1).tolist()
        return logits[0].clone(), static_kv._pool.clone()


@pytest.fixture(params=["starcoder", "qwen2"])
def model(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> Any:
    return doubled(request.getfixturevalue(request.param)).runner.model


def test_two_compiled_variants_serve_every_length(model: Any) -> None:
    traced: list[Any] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        traced.append(graph)
        return graph.forward

    fused = FusedPass(backend)
    with torch.inference_mode(), gqa_attention.installed_in(model):
        passes = Passes(model, torch.float64)
        passes.compile(fused)
        assert fused.message == "Short passes are fused by inductor."
        for bucket in BUCKETS:
            expected = passes.run(bucket, None)
            found = passes.run(bucket, fused.find(None, bucket))
            for ours, plain in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)
    assert len(traced) == 2, "one for a single new token and one for several"


def test_pass_is_not_compiled_again_while_it_runs(model: Any) -> None:
    fused = FusedPass("eager")
    with torch.inference_mode(), gqa_attention.installed_in(model):
        passes = Passes(model, torch.float64)
        fused._adapter_keys.add(None)  # as if it had been compiled
        with pytest.raises(RuntimeError, match="recompile"):
            passes.run(BUCKETS[0], fused.find(None, BUCKETS[0]))


@pytest.mark.compiler
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor's C++ backend needs g++")
def test_inductor_writes_rows_in_place_and_compiles_once_per_machine(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is that of float32's rounding. The second start finds everything in the cache of the first."""
    folder = checkpoints.gpt_bigcode(tmp_path / "model", n_layer=1)
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    commands, run_command = list[str](), cpp_builder.run_compile_cmd
    monkeypatch.setattr(
        cpp_builder, "run_compile_cmd", lambda line, cwd: (commands.append(line), run_command(line, cwd=cwd))
    )
    for is_second_start in (False, True):
        torch._dynamo.reset()
        clear_caches()
        counters.clear()
        commands.clear()
        fused = FusedPass()
        with torch._inductor.config.patch(CHEAP_KERNELS), torch.inference_mode(), gqa_attention.installed_in(model):
            passes = Passes(model, torch.float32)
            _, sources = run_and_get_code(lambda: passes.compile(fused))  # noqa: B023 - called at once
            assert fused.message == "Short passes are fused by inductor."
            for bucket in BUCKETS:
                expected, found = passes.run(bucket, None), passes.run(bucket, fused.find(None, bucket))
                for ours, plain in zip(found, expected, strict=True):
                    assert float((ours - plain).abs().max()) < 1e-4 * float(plain.std())
        found_in_cache = counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"]
        assert found_in_cache == ((2, 0) if is_second_start else (0, 2))
        assert bool(commands) != is_second_start
        if not is_second_start:
            positions = passes.static_kvs[0]._pool.shape[4]
            allocations = [line for source in sources for line in source.splitlines() if "empty_strided" in line]
            assert len(allocations) > 10
            assert not [line for line in allocations if f"{positions}," in line], "the rows are written in place"
    assert list(cache_folder.rglob("*.so"))


def test_failure_of_the_compiler_is_one_sentence(model: Any) -> None:
    def backend(_graph: Any, _inputs: Any) -> Any:
        raise ValueError("no compiler here.\nA long explanation")

    fused = FusedPass(backend)
    with torch.inference_mode(), gqa_attention.installed_in(model):
        Passes(model, torch.float64).compile(fused)
    assert fused.message == (
        "`model.compile` has no effect, since the pass could not be fused: ValueError: no compiler here."
    )
    assert fused.find(None, Bucket(1, 1, 16)) is None


def test_failure_of_the_device_is_raised(model: Any) -> None:
    def backend(_graph: Any, _inputs: Any) -> Any:
        return lambda *_: (_ for _ in ()).throw(RuntimeError("CUDA error: an illegal memory access was encountered"))

    with torch.inference_mode(), gqa_attention.installed_in(model), pytest.raises(DeviceFailed):
        Passes(model, torch.float64).compile(FusedPass(backend))


def test_only_single_rows_of_compiled_adapters_are_fused() -> None:
    fused = FusedPass("eager")
    fused._adapter_keys.add(("a", 1))
    assert fused.find(("a", 1), Bucket(1, 8, 64)) is not None
    assert fused.find(("a", 1), Bucket(2, 1, 64)) is None
    assert fused.find(None, Bucket(1, 1, 64)) is None
    fused.fail("logits were wrong")
    assert fused.find(("a", 1), Bucket(1, 8, 64)) is None


def test_compiled_code_is_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    assert fused_pass.cache_folder() == cache_folder, "a folder that the environment names is left alone"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    FusedPass("eager")
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parts[-2:] == ("starcoder-ls", "inductor")
