from __future__ import annotations

import pytest

from starcoder_ls.commands.support import model_catalog, proposals
from starcoder_ls.commands.support.machine import Machine
from starcoder_ls.commands.support.proposals import Proposal, propose

BOTH = ("bitsandbytes", "torchao")


def gpu(free_gb: float) -> Machine:
    return Machine("cuda", "a GPU", free_gb * 1e9, 1e12, 2000e9)


def cpu(free_gb: float = 64.0, gb_per_s: float = 20.0, disk_gb: float = 1000.0) -> Machine:
    return Machine("cpu", "8 cores, no GPU", free_gb * 1e9, disk_gb * 1e9, gb_per_s * 1e9)


def names(offered: list[Proposal]) -> list[str]:
    return [proposal.model for proposal in offered]


@pytest.mark.parametrize(
    ("free_gb", "model", "quantization"),
    [
        (1.5, "Qwen/Qwen2.5-Coder-0.5B-Instruct", "torchao-int4"),
        (4.5, "bigcode/starcoder2-3b", "int8"),
        (9.0, "Qwen/Qwen2.5-Coder-7B-Instruct", "torchao-int4"),
        (12.0, "bigcode/starcoder2-15b", "torchao-int4"),
        (23.5, "bigcode/starcoder2-15b", "int8"),
        (79.0, "bigcode/starcoder2-15b", "none"),
        (1.2, "bundled", "none"),
    ],
)
def test_largest_model_that_fits_a_gpu_is_first(free_gb: float, model: str, quantization: str) -> None:
    first = propose(gpu(free_gb), BOTH, has_account=False)[0]
    assert (first.model, first.quantization, first.problem) == (model, quantization, "")
    assert first.memory_bytes <= free_gb * 1e9


def test_nothing_is_quantized_on_a_gpu_without_the_libraries() -> None:
    assert {proposal.quantization for proposal in propose(gpu(15.5), (), has_account=False)} == {"none"}


def test_models_without_a_gate_come_first_for_users_without_an_account() -> None:
    offered = propose(gpu(79.0), BOTH, has_account=False)
    gated = [proposal.needs_account for proposal in offered]
    assert gated == sorted(gated)
    assert any(gated)
    with_account = propose(gpu(79.0), BOTH, has_account=True)
    assert not any(proposal.needs_account for proposal in with_account)
    assert names(with_account).index("bigcode/starcoderbase") < names(with_account).index("bigcode/starcoder2-7b")


def test_downloaded_gated_model_needs_no_account() -> None:
    offered = propose(gpu(79.0), BOTH, False, downloaded=["bigcode/starcoderbase-1b"])
    [found] = [proposal for proposal in offered if proposal.model == "bigcode/starcoderbase-1b"]
    assert found.is_downloaded
    assert not found.needs_account


def test_cpu_gets_8_bits_and_4_where_8_are_too_slow() -> None:
    by_name = {proposal.model: proposal for proposal in propose(cpu(gb_per_s=25), (), has_account=False)}
    small, large = by_name["Qwen/Qwen2.5-Coder-0.5B-Instruct"], by_name["Qwen/Qwen2.5-Coder-1.5B-Instruct"]
    assert (small.quantization, small.is_slow) == ("int8", False)
    assert (large.quantization, large.is_slow) == ("torchao-int4", False)
    assert by_name["bigcode/starcoder2-15b"].is_slow


def test_slow_models_follow_the_fast_ones_and_very_slow_ones_the_bundled() -> None:
    offered = names(propose(cpu(gb_per_s=20), (), has_account=False))
    expected = [
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "bigcode/starcoder2-3b",
        "bundled",
    ]
    assert offered[:4] == expected


def test_model_that_does_not_fit_says_what_it_needs() -> None:
    offered = {proposal.model: proposal.problem for proposal in propose(cpu(3.0, disk_gb=10.0), (), has_account=False)}
    assert offered["bigcode/starcoder2-7b"].startswith("needs ")
    assert offered["bigcode/starcoder2-7b"].endswith(" GB of memory")
    assert offered["Qwen/Qwen2.5-Coder-0.5B-Instruct"] == ""
    small_disk = {found.model: found.problem for found in propose(cpu(64.0, disk_gb=10.0), (), has_account=False)}
    assert small_disk["bigcode/starcoder2-3b"] == "needs 12.1 GB of disk"


def test_time_of_a_token_is_that_of_reading_the_weights() -> None:
    """A model of 0.5 billion weights in 8 bits took 61.6 ms where a sum read 10.5 GB/s (docs/performance.md)."""
    offered = {proposal.model: proposal for proposal in propose(cpu(gb_per_s=10.5), (), has_account=False)}
    found = offered["Qwen/Qwen2.5-Coder-0.5B-Instruct"]
    eight_bits = proposals._read_bytes(model_catalog.CATALOG[3], "cpu", "int8") / (10.5e9 * 0.7) * 1000
    assert 0.8 < eight_bits / 61.6 < 1.25
    assert found.ms_per_token is not None
    assert found.ms_per_token < eight_bits


def test_memory_agrees_with_the_table_of_the_adapters_page() -> None:
    """docs/adapters.md, gigabytes of StarCoderBase-1B and 7B, whose formula is compared with real memory."""
    for name, expected in (
        ("bigcode/starcoderbase-1b", {"none": 2.5, "int8": 1.4, "torchao-int4": 0.9}),
        ("bigcode/starcoderbase-7b", {"none": 15.1, "int8": 8.2, "torchao-int4": 4.7}),
    ):
        model = model_catalog.find(name)
        assert model is not None
        for quantization, gigabytes in expected.items():
            found = (proposals.memory_bytes(model, "cpu", quantization) - proposals.OVERHEAD_BYTES) / 1e9
            assert abs(found - gigabytes) < 0.1 * gigabytes
