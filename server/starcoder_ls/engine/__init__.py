"""The model in this process: the only folder, besides learning, that imports torch, transformers and peft."""

import logging

# Optional libraries that transformers and PEFT import wherever they are installed. At import they warn of kernels for
# other machines, and bitsandbytes at every layer of every token that a CPU computes in float16.
for _name in ("bitsandbytes", "torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
