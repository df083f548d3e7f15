"""A real `starcoder-ls serve` whose settings file is invalid: the editor sees what the command line says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from harness import INLINE_COMPLETION, async_test
from starcoder_ls import settings
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp.client import start
from windows import request_status, wait_for_phase

SERVE = [sys.executable, "-m", "starcoder_ls", "serve"]
MISSING_MODEL = '[model]\nname = "/no/such/model"\n'
"""Valid, and the failure is reported before torch is loaded."""


@pytest.mark.usefixtures("runtime_folder")
@pytest.mark.parametrize("text", ["[model\n", "[model]\nnam = 'x'\n"], ids=["no TOML", "unknown key"])
@async_test
async def test_server_says_what_is_wrong_and_loads_the_corrected_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        settings.load()
    async with start(SERVE, stderr=subprocess.DEVNULL) as client:
        capabilities = await client.initialize(None, INLINE_COMPLETION)
        assert "inlineCompletionProvider" in capabilities
        status = await request_status(client)
        assert (status["phase"], status["message"]) == ("failed", str(raised.value))
        assert status["settingsFile"] == str(file)

        file.write_text(MISSING_MODEL, encoding="utf-8")

        while "settingsFile" in await request_status(client):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await wait_for_phase(client, "failed")
        assert (await request_status(client))["message"].startswith("There is no folder /no/such/model.")
        await client.shutdown()


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_missing_checkpoint_is_reported_without_torch(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code = (
        "import sys, starcoder_ls.__main__ as program\n"
        f"sys.argv = ['starcoder-ls', 'doctor', '--model', {str(tmp_path / name)!r}]\n"
        "exit_code = program._run()\n"
        "print(exit_code, sorted({'torch', 'transformers'} & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert result.stdout.splitlines()[-1] == "1 []"
    assert ("There is no folder" if name == "missing" else "has no config.json") in " ".join(result.stdout.split())
