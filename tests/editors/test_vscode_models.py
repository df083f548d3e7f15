"""Choosing a model in VS Code: the list of ``starcoder-ls setup``, consent, the download, the remedies if it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import starcoder_ls
import vscode as driver
from hub_server import HubRepository, HubServer, running_hub
from setup_program import write_setup_program
from starcoder_ls import settings
from vscode import OpenWindow, VSCode, Window, wait

LISTED = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
GATED = "owner/gated"
DIALOG = ".monaco-dialog-box"

pytestmark = driver.MARKS


@pytest.fixture
def hub() -> Iterator[HubServer]:
    files = HubRepository.of_folder(Path(starcoder_ls.__file__).with_name("bundled")).files
    with running_hub({LISTED: HubRepository(files), GATED: HubRepository(files, is_gated=True)}) as server:
        yield server


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


@pytest.fixture
def window(hub: HubServer, open_window: OpenWindow, tmp_path: Path) -> Window:
    program, _ = write_setup_program(tmp_path, hub.url)
    window = open_window(text="x = 1\n", server=[str(program), "serve"], **{"starcoder.model.name": "scripted"})
    window.wait_for_status("scripted")
    return window


def choose(window: Window, entry: str) -> None:
    """Choose an entry of the list, of which only a part is on the screen."""
    window.run("StarCoder: Choose Model")
    window.page.wait_for_selector(f'.quick-input-list .monaco-list-row:has-text("{LISTED}")')
    window.type(entry)
    window.page.click(f'.quick-input-list .monaco-list-row:has-text("{entry}")')


def answer(window: Window, question: str, button: str) -> str:
    """Answer the question of a dialog; the text of the dialog."""
    dialog = window.page.wait_for_selector(f'{DIALOG}:has-text("{question}")')
    text = str(dialog.inner_text())
    window.page.click(f'{DIALOG} .monaco-button:has-text("{button}")')
    window.page.wait_for_selector(DIALOG, state="detached")
    return text


def test_chosen_model_is_downloaded_and_served_after_consent(
    code: VSCode, window: Window, hub: HubServer, settings_file: Path
) -> None:
    (before,) = code.servers()
    window.run("StarCoder: Choose Model")
    row = window.page.wait_for_selector(f'.quick-input-list .monaco-list-row:has-text("{LISTED}")')
    for part in ("Apache-2.0 · actions", "1.0 GB download", "GB memory", "ms per token"):
        assert part in row.inner_text()
    row.click()
    text = answer(window, f"Download {LISTED} (1.0 GB)?", "Cancel")
    assert "Apache-2.0" in text
    assert str(settings_file) in text
    assert "starcoder.model.name" in text, "the setting that would override the file"
    assert not settings_file.exists()
    assert not hub.requests
    choose(window, LISTED)
    answer(window, f"Download {LISTED}", "Download")
    wait(settings_file.exists, "settings file")
    wait(lambda: not before.is_running(), "end of the old server")
    window.wait_for_status("scripted")
    model = settings.load(file=settings_file).model
    assert (model.name, model.tasks) == (LISTED, ("completion", "instruct"))
    machine = json.loads((code.profile / "Machine" / "settings.json").read_text())
    assert "starcoder.model.name" not in machine


def test_gated_model_shows_the_sentence_and_its_remedies(window: Window, hub: HubServer, settings_file: Path) -> None:
    choose(window, "Hugging Face Hub…")
    window.page.wait_for_selector('.quick-input-widget :text("Id of the model")')
    window.type(GATED)
    window.press("Enter")
    answer(window, f"Download {GATED}?", "Download")
    toast = '.notification-toast:has-text("requires that you accept its licence")'
    shown = window.page.wait_for_selector(toast)
    assert f"Accept it at {hub.url}/{GATED}" in shown.inner_text()
    buttons = [str(button.inner_text()) for button in shown.query_selector_all(".monaco-text-button")]
    assert buttons == ["Open Licence Page", "Log In", "Try Again"]
    assert not settings_file.exists()
    hub.repositories[GATED].is_gated = False
    window.page.click(f'{toast} .monaco-button:has-text("Try Again")')
    answer(window, f"Download {GATED}?", "Download")
    wait(settings_file.exists, "settings file")
