from __future__ import annotations

import pkgutil

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from starcoder_ls.engine.adapters import methods
from starcoder_ls.engine.adapters.registry import METHODS


def test_every_method_module_is_registered() -> None:
    modules = {module.name for module in pkgutil.iter_modules(methods.__path__)}
    assert {type(method).__module__.rpartition(".")[2] for method in METHODS.values()} == modules


@pytest.mark.parametrize("peft_type", METHODS)
def test_method_declares_the_config_class_that_peft_has_for_it(peft_type: str) -> None:
    config_classes = {str(key.value): config_class for key, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    assert METHODS[peft_type].peft_config is config_classes[peft_type]
