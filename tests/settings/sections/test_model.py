from starcoder_ls.settings import AUTO, TEMPLATE, Adapter


def test_template_of_astraios_and_bundled_adapters_is_their_own() -> None:
    paths = ("bigcode/astraios-7b-parallel", "bundled", "someone/lora")
    assert [Adapter(path=path).prompt_template for path in paths] == [TEMPLATE, TEMPLATE, AUTO]
    assert Adapter(path="bundled", template="{question}").prompt_template == "{question}"
