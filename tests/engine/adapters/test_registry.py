from __future__ import annotations

import pkgutil
from pathlib import Path

import pytest

import adapter_fixtures
from starcoder_ls.engine.adapters import methods, peft_compat
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.registry import METHODS


def test_every_method_module_is_registered() -> None:
    modules = {module.name for module in pkgutil.iter_modules(methods.__path__)}
    assert {type(method).__module__.rpartition(".")[2] for method in METHODS.values()} == modules


@pytest.mark.parametrize("peft_type", METHODS)
def test_defaults_of_peft_are_those_of_the_method_or_change_nothing(peft_type: str, tmp_path: Path) -> None:
    """A file may contain every default that PEFT has; it is read as one without them."""
    defaults = {key: value for key, value in peft_compat.default_values(peft_type).items() if value is not None}
    own = METHODS[peft_type].default_values()
    assert {key: value for key, value in own.items() if value is not None}.items() <= defaults.items()
    plain = read_config(adapter_fixtures.write_config(tmp_path, peft_type))
    full = read_config(
        adapter_fixtures.write_config(tmp_path, peft_type, **(defaults | adapter_fixtures.CONFIG_VALUES[peft_type]))
    )
    assert plain == full
