from __future__ import annotations

from types import SimpleNamespace

import pytest

from starcoder_ls.engine import attention_functions


def model_of(*configs: SimpleNamespace) -> SimpleNamespace:
    """Stands for a transformers model, whose base may have a configuration of its own."""
    return SimpleNamespace(config=configs[0], base_model=SimpleNamespace(config=configs[-1]))


@pytest.mark.parametrize("has_own_base_config", [False, True])
def test_nested_functions_are_used_and_restored_after_an_error(has_own_base_config: bool) -> None:
    configs = [SimpleNamespace(_attn_implementation_internal="sdpa") for _ in range(1 + has_own_base_config)]
    model = model_of(*configs)

    def used() -> set[str]:
        return {config._attn_implementation_internal for config in configs}

    def fail_inside() -> None:
        with attention_functions.used_by(model, "inner"):
            assert used() == {"inner"}
            raise ValueError("failed")

    with attention_functions.used_by(model, "outer"):
        with pytest.raises(ValueError, match="failed"):
            fail_inside()
        assert used() == {"outer"}
    assert used() == {"sdpa"}
