"""Choosing a model in Neovim: the list of ``starcoder-ls setup``, consent, the download, the message if it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import starcoder_ls
from hub_server import HubRepository, HubServer, running_hub
from neovim import Editor, lua, running
from setup_program import write_setup_program
from starcoder_ls import settings

LISTED = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
GATED = "owner/gated"
SELECT = """
asked = {}    -- what vim.ui.select, which plug-ins replace, showed
answers = {}  -- the beginning of the entry to choose, for each question
vim.ui.select = function(items, options, on_choice)
  local shown = vim.tbl_map(options.format_item or tostring, items)
  table.insert(asked, options.prompt .. "\\n" .. table.concat(shown, "\\n"))
  local answer = table.remove(answers, 1)
  for index, text in ipairs(shown) do
    if answer and vim.startswith(text, answer) then
      return on_choice(items[index], index)
    end
  end
  on_choice(nil)
end
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def hub() -> Iterator[HubServer]:
    files = HubRepository.of_folder(Path(starcoder_ls.__file__).with_name("bundled")).files
    with running_hub({LISTED: HubRepository(files), GATED: HubRepository(files, is_gated=True)}) as server:
        yield server


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


@pytest.fixture
def editor(hub: HubServer, tmp_path: Path) -> Iterator[Editor]:
    program, _ = write_setup_program(tmp_path, hub.url)
    (tmp_path / "app.py").write_text("x = 1\n")
    setup = f"require('starcoder').setup({{ cmd = {{ {lua(str(program))}, 'serve' }} }})\n"
    with running(tmp_path, tmp_path / "app.py", setup + SELECT) as editor:
        editor.wait_until_ready()
        yield editor


def test_chosen_model_is_downloaded_and_served_after_consent(
    editor: Editor, hub: HubServer, settings_file: Path
) -> None:
    editor.run_lua(f"answers = {{ '{LISTED}', 'Cancel' }}")
    editor.nvim.command("Starcoder model")
    editor.wait("#asked == 2")
    listed, question = editor.lua("asked")
    (line,) = (line for line in listed.splitlines() if line.startswith(LISTED))
    for part in (" 1.0 GB ", " GB ", " ms ", "Apache-2.0; actions"):
        assert part in line
    assert question.startswith(f"StarCoder: download {LISTED} (1.0 GB) and write {settings_file}")
    assert not settings_file.exists()
    assert not hub.requests
    before = editor.lua("vim.lsp.get_clients()[1].id")
    editor.run_lua(f"answers = {{ '{LISTED}', 'Download' }}")
    editor.nvim.command("Starcoder model")
    editor.wait("require('starcoder').statusline():find('downloading') ~= nil")
    editor.wait_for_message("is set up")
    model = settings.load(file=settings_file).model
    assert (model.name, model.tasks) == (LISTED, ("completion", "instruct"))
    editor.wait(f"#vim.lsp.get_clients() == 1 and vim.lsp.get_clients()[1].id ~= {before}")


def test_gated_model_shows_the_sentence_and_its_page(editor: Editor, hub: HubServer, settings_file: Path) -> None:
    editor.run_lua("opened = nil; vim.ui.open = function(page) opened = page end")
    editor.run_lua("answers = { 'Download', 'Open the licence page' }")
    editor.nvim.command(f"Starcoder model {GATED}")
    editor.wait_for_message("requires that you accept its licence. Accept it at")
    editor.wait(f"opened == {lua(f'{hub.url}/{GATED}')}")
    assert not settings_file.exists()


def test_model_of_the_configuration_is_not_silently_overridden(editor: Editor) -> None:
    editor.run_lua("vim.lsp.config('starcoder_ls', { cmd = { 'starcoder-ls', 'serve', '--model', 'bundled' } })")
    editor.type(":Starcoder model<CR>")
    editor.wait_for_message("your configuration names a model (cmd)")
