from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from context_files import create_workspace
from fakes import FIM_TOKENS, ScriptedEngine
from fim_tokens import STARCODER
from harness import async_test, initialized_client, wait_until
from starcoder_ls.generation import Capabilities, Phase, Request, Status
from starcoder_ls.lsp.documents.document import Edit, Position, path_of_uri
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.workspace_context import WorkspaceContext, snippet_token_budget
from starcoder_ls.settings import Context, Settings

CODE = "from helper import matrix_inverse\n\n\ndef solve(rows):\n    return "
BELOW = "\n\n\ndef after():\n    pass\n"


@pytest.mark.parametrize(
    ("setting", "context_tokens", "expected"),
    [("auto", 2048, 0), ("auto", 8192, 512), ("auto", 16384, 512), (300, 2048, 300), (8000, 2048, 1024), (0, 8192, 0)],
)
def test_snippet_budget_is_zero_for_small_models_unless_set(
    setting: int | str, context_tokens: int, expected: int
) -> None:
    status = Status(Phase.READY, context_tokens=context_tokens)
    assert snippet_token_budget(Context(prompt_tokens=setting), status) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["untitled:a", "", "file:", "not a uri", "git:/a/.env", "file:///a%00.py"])
def test_uri_of_another_scheme_has_no_path(uri: str) -> None:
    assert path_of_uri(uri) == ""


def parts_before_prefix(request: Request) -> tuple[object, ...]:
    """The parts of the prompt before the text before the cursor."""
    return request.parts[: request.prefix_parts[0]]


class StarCoderEngine(ScriptedEngine):
    def status(self) -> Status:
        return dataclasses.replace(super().status(), special_tokens=STARCODER)


@async_test
async def test_prompt_names_the_file_in_its_workspace_and_no_folder_above(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    for folder, shown in ((tmp_path, "orders/total.py\n"), (tmp_path / "elsewhere", "total.py\n")):
        engine = StarCoderEngine()
        async with initialized_client(engine, folder=folder) as client:
            uri = (tmp_path / "orders" / "total.py").as_uri()
            client.open(uri, CODE + BELOW)
            await client.inline_completion(uri, 4, len("    return "))
        assert shown in engine.requests[0].parts


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=st.text(alphabet="matrix_ner(s, )1", min_size=3, max_size=25), other=st.text(max_size=40))
def test_context_in_the_prompt_is_stable_while_typing(tmp_path: Path, typed: str, other: str) -> None:
    create_workspace(tmp_path)
    uri, helper = (tmp_path / "app.py").as_uri(), (tmp_path / "helper.py").as_uri()

    @async_test
    async def burst() -> None:
        engine = ScriptedEngine()
        async with initialized_client(engine, folder=tmp_path) as client:
            client.open(helper, (tmp_path / "helper.py").read_text())
            client.open(uri, CODE + BELOW)
            for number, char in enumerate(typed, 1):
                column = len("    return ") + number
                there = {"line": 4, "character": column - 1}
                client.change(uri, number + 1, {"range": {"start": there, "end": there}, "text": char})
                if number == 2:  # another file changes in between, as by a formatter
                    client.change(helper, 2, {"text": other})
                await client.inline_completion(uri, 4, column)
        contexts = {parts_before_prefix(request) for request in engine.requests}
        assert len(contexts) == 1
        assert any("# def matrix_inverse(rows):" in part for part in contexts.pop() if isinstance(part, str))

    burst()


@async_test
async def test_nothing_is_collected_for_an_engine_without_ngrams_and_snippets(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    create_workspace(tmp_path)
    async with initialized_client(engine, options={"context": {"prompt_tokens": 0}}, folder=tmp_path) as client:
        client.open((tmp_path / "helper.py").as_uri(), (tmp_path / "helper.py").read_text())
        client.open((tmp_path / "app.py").as_uri(), CODE)
        await client.inline_completion((tmp_path / "app.py").as_uri(), 4, 11)
        engine.set_status(capabilities=Capabilities(document_ngrams=False))
        client.open((tmp_path / "other.py").as_uri(), CODE)
        await client.inline_completion((tmp_path / "other.py").as_uri(), 4, 11)
    with_ngrams, without = engine.requests
    assert with_ngrams.lookup_text
    assert not without.lookup_text


@async_test
async def test_models_with_file_separators_get_separate_files(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine._status = dataclasses.replace(engine._status, special_tokens=FIM_TOKENS | {"<repo_name>", "<file_sep>"})
    create_workspace(tmp_path)
    async with initialized_client(engine, folder=tmp_path) as client:
        client.open((tmp_path / "helper.py").as_uri(), (tmp_path / "helper.py").read_text())
        client.open((tmp_path / "app.py").as_uri(), CODE)
        await client.inline_completion((tmp_path / "app.py").as_uri(), 4, 11)
    assert any(str(part).startswith("helper.py\ndef matrix_inverse") for part in engine.requests[0].parts)


@pytest.mark.parametrize("is_open", [True, False])
@async_test
async def test_secrets_and_ignored_files_never_reach_a_prompt(tmp_path: Path, is_open: bool) -> None:
    engine = ScriptedEngine()
    marker = "def matrix_inverse(rows):\n    leaked = 1\n    return rows, leaked\n"
    key = "-----BEGIN RSA PRIVATE KEY-----\nleakedleakedleaked\n-----END RSA PRIVATE KEY-----"
    files = {".env": marker, ".env.py": marker, "id_rsa": marker, "ignored.py": marker, ".aws/m.py": marker,
             "keys.py": f"def matrix_inverse(rows):\n    key = '''{key}'''\n    return key"}  # fmt: skip
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    async with initialized_client(engine, folder=tmp_path) as client:
        for name, text in files.items() if is_open else ():
            client.open((tmp_path / name).as_uri(), text)
            await client.inline_completion((tmp_path / name).as_uri(), 1, 4, is_invoked=True)
        for number in range(5):
            uri = (tmp_path / f"app{number}.py").as_uri()
            client.open(uri, f"import ignored, keys\nfrom .aws import m\n{CODE}matrix_inverse(")
            assert await client.inline_completion(uri, 6, 15)
    assert len(engine.requests) == (6 if is_open else 5)
    for request in engine.requests:
        assert "leaked" not in str((request.parts, request.lookup_text, request.forced_prefix))


class HeldEngine(ScriptedEngine):
    """Counts tokens for the context only after ``is_released`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_released = threading.Event()
        self.is_collecting = threading.Event()

    def count_tokens(self, text: str) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.is_collecting.set()
            self.is_released.wait(300)
        return super().count_tokens(text)


@async_test
async def test_event_loop_answers_while_context_is_collected(tmp_path: Path) -> None:
    create_workspace(tmp_path)
    engine = HeldEngine()
    uri = (tmp_path / "app.py").as_uri()
    async with initialized_client(engine, folder=tmp_path) as client:
        client.open(uri, CODE)
        position = {"line": 4, "character": 11}
        params = {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 2}}
        pending = client.request("textDocument/inlineCompletion", params)
        await wait_until(engine.is_collecting.is_set)
        assert await client.request("starcoder/status", {})
        assert not engine.requests
        engine.is_released.set()
        await pending
    assert any("matrix_inverse(rows)" in str(part) for part in engine.requests[-1].parts)


@pytest.mark.parametrize(
    "uri", ["file:///x/a%00.py", "file:///x/\ud800.py", f"file:///{'a' * 300}/b.py", "file:///" + "a/" * 3000]
)
@async_test
async def test_document_whose_path_no_file_can_have_affects_no_other(tmp_path: Path, uri: str) -> None:
    create_workspace(tmp_path)
    async with initialized_client(ScriptedEngine(), folder=tmp_path) as client:
        client.open(uri, "x = 1\n")
        client.open((tmp_path / "app.py").as_uri(), CODE)
        client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": uri, "type": 1}]})
        assert await client.inline_completion((tmp_path / "app.py").as_uri(), 4, 11)
        client.change(uri, 2, {"text": "y = 1\n"})
        assert await client.inline_completion((tmp_path / "app.py").as_uri(), 4, 11)


@async_test
async def test_import_through_a_link_out_of_the_workspace_reaches_no_prompt(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    root.mkdir()
    create_workspace(tmp_path)
    (root / "helper.py").symlink_to(tmp_path / "helper.py")
    engine = ScriptedEngine()
    async with initialized_client(engine, folder=root) as client:
        client.open((root / "app.py").as_uri(), CODE)
        assert await client.inline_completion((root / "app.py").as_uri(), 4, 11)
    assert "first_version" not in str([(request.parts, request.lookup_text) for request in engine.requests])


def edit_documents(folder: Path, context: WorkspaceContext, documents: Documents) -> None:
    """Change one line of an included and one of an excluded document."""
    for name in ("app.py", ".env"):
        uri = (folder / name).as_uri()
        documents.open(uri, "python", 1, "count = 1\n")
        context.on_open(documents.get(uri))
        documents.change(uri, 2, [Edit("total", Position(0, 0), Position(0, 5))])


def test_recent_edits_are_of_documents_that_are_not_excluded(tmp_path: Path) -> None:
    documents, settings = Documents(), ClientSettings(Settings(), lambda _: None)
    context = WorkspaceContext(settings, documents, LanguageClient())
    context.set_folders([tmp_path])
    edit_documents(tmp_path, context, documents)
    assert [(edit.path, edit.before, edit.after) for edit in context.recent_edits()] == [
        (str(tmp_path / "app.py"), "count", "total")
    ]
    settings.apply({"context": {"ignore": ["app.py"]}}, "the test")
    context.on_settings_changed()
    assert context.recent_edits() == []
    settings.apply({"context": {"ignore": []}}, "the test")
    context.on_settings_changed()
    assert context.recent_edits() == []  # they were forgotten
    context.close()


def test_position_of_an_edit_is_unknown_after_its_document_closed(tmp_path: Path) -> None:
    documents = Documents()
    context = WorkspaceContext(ClientSettings(Settings(), lambda _: None), documents, LanguageClient())
    edit_documents(tmp_path, context, documents)
    assert [edit.start for edit in context.recent_edits()] == [0]
    context.on_close((tmp_path / "app.py").as_uri())
    assert [edit.start for edit in context.recent_edits()] == [None]
    context.close()
