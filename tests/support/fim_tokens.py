"""The special tokens of one checkpoint of each family."""

STARCODER = frozenset(
    {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<reponame>"}
)
STARCODER2 = frozenset(
    {"<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>"}
)
SANTACODER = frozenset({"<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"})
QWEN = frozenset({"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_sep|>", "<|im_end|>"})
QWEN_WITH_REPOSITORY = QWEN | {"<|repo_name|>"}
DEEPSEEK = frozenset({"<｜begin▁of▁sentence｜>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"})
CODE_LLAMA = frozenset({"<s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"})

JUPYTER = frozenset({"<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>"})
"""What StarCoder and StarCoder2 have for notebooks."""
