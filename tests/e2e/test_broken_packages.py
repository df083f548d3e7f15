"""A real `starcoder-ls serve` and its daemon where torch cannot be imported, as while a package is being replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import INLINE_COMPLETION, URI, async_test
from starcoder_ls.lsp.client import Client, start
from windows import daemons, request_status, shown_messages, wait_for, wait_for_phase

SERVE = [sys.executable, "-m", "starcoder_ls", "serve"]
REASON = "cannot be imported (ImportError: libtorch_cpu.so: cannot open shared object file)"
POSITION = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}


async def complete(client: Client, is_invoked: bool) -> Any:
    params = {**POSITION, "context": {"triggerKind": 1 if is_invoked else 2}}
    return await client.request("textDocument/inlineCompletion", params)


@async_test
async def test_daemon_with_a_failed_import_ends_and_the_next_load_has_another(
    runtime_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports, package = tmp_path / "imports", tmp_path / "packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"import os\nopen({str(imports)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "raise ImportError('libtorch_cpu.so: cannot open shared object file')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    async with start(SERVE, stderr=subprocess.DEVNULL) as window:
        await window.initialize(None, INLINE_COMPLETION)
        window.open(URI, "x = ")
        await wait_for_phase(window, "failed")
        assert REASON in (await request_status(window))["message"]
        await wait_for(lambda: not daemons(runtime_folder))
        assert await complete(window, is_invoked=False) is None
        assert REASON in (await request_status(window))["message"]
        assert len(imports.read_text().split()) == 1, "neither a status nor an automatic request starts a daemon"

        assert await complete(window, is_invoked=True) is None

        await wait_for(lambda: len(imports.read_text().split()) > 1)
        await wait_for(lambda: not daemons(runtime_folder))
        first, second = imports.read_text().split()
        assert first != second, "another process has tried it"
        assert sum(REASON in text for text in shown_messages(window)) == 1
        assert await window.shutdown() == 0
