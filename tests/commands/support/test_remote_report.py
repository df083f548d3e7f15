from __future__ import annotations

import asyncio
from pathlib import Path

from fake_vllm import FakeVllm, serving
from remote_engines import ready_engine, settings_for
from starcoder_ls.commands.support.remote_report import describe_capabilities, describe_server, find_open_paths
from starcoder_ls.generation import Capabilities


def test_report_says_what_the_server_can_do_and_whether_adapters_work(tmp_path: Path) -> None:
    fake = FakeVllm(lambda _: "the same", adapters=("style",))
    with serving(fake), ready_engine(settings := settings_for(fake.url, tmp_path)) as engine:
        findings = {finding.name: finding for finding in describe_server(engine, settings)}
    assert findings["server"].text.startswith("vLLM at 127.0.0.1")
    assert "exact ids" in findings["capabilities"].text
    assert findings["without a token"].text == "no path answers"
    assert findings["adapter style"].text.startswith("NOT APPLIED")
    assert [finding.name for finding in findings.values() if finding.problem] == ["adapter style"]


def test_paths_that_answer_without_a_token_are_listed(tmp_path: Path) -> None:
    fake = FakeVllm(open_paths=("/metrics", "/tokenize"))  # vLLM guards only paths below /v1
    with serving(fake), ready_engine(settings_for(fake.url, tmp_path)) as engine:
        assert asyncio.run(find_open_paths(engine.endpoint)) == ["/tokenize", "/metrics"]


def test_capabilities_are_listed_as_able_and_unable() -> None:
    text = describe_capabilities(Capabilities(document_ngrams=False, attach=False))
    able, _, unable = text.partition("; not: ")
    assert "forced beginning" in able
    assert unable == "n-grams of the document, cache salt, adapters at run time"
