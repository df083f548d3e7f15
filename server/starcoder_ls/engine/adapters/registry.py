"""All adapter methods by PEFT's name. A new method is a new module in ``methods/`` and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from starcoder_ls.engine.adapters.adapter_method import AdapterMethod
from starcoder_ls.engine.adapters.methods.bottleneck import Bottleneck
from starcoder_ls.engine.adapters.methods.ia3 import IA3
from starcoder_ls.engine.adapters.methods.lora import LoRA
from starcoder_ls.engine.adapters.methods.p_tuning import PTuning
from starcoder_ls.engine.adapters.methods.prefix_tuning import PrefixTuning
from starcoder_ls.engine.adapters.methods.prompt_tuning import PromptTuning

METHODS: Mapping[str, AdapterMethod] = {
    method.peft_type: method
    for method in (
        LoRA(),
        IA3(),
        Bottleneck(),
        PTuning(),
        PromptTuning(),
        PrefixTuning(),
    )
}
