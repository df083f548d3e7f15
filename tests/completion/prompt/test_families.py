import pytest

from fim_tokens import CODE_LLAMA, DEEPSEEK, QWEN, SANTACODER, STARCODER, STARCODER2
from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.errors import ModelUnsupported


@pytest.mark.parametrize(
    ("special_tokens", "name"),
    [
        (STARCODER, "starcoder"),
        (STARCODER2, "starcoder2"),
        (SANTACODER, "santacoder"),
        (QWEN, "qwen2.5-coder"),
        (DEEPSEEK, "deepseek-coder"),
        (CODE_LLAMA, "code-llama"),
    ],
)
def test_family_is_found_by_the_special_tokens(special_tokens: frozenset[str], name: str) -> None:
    assert find_family(special_tokens).name == name


def test_model_without_fim_tokens_is_rejected_with_alternatives() -> None:
    with pytest.raises(ModelUnsupported, match="StarCoder2"):
        find_family(frozenset({"<|endoftext|>"}))
