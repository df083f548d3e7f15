"""How long Neovim and VS Code wait for suggestions of the bundled model while a file is typed.

Half of each line is typed, the script waits for a suggestion, and the line is completed. Only suggestions that appear
are timed, without the editor's own delay: in Neovim from its request to the answer, in VS Code from the last key to
ghost text on the screen, minus the delay.

    NVIM=... VSCODE=... python benchmarks/run/editors.py    (`make editors` installs both under .cache)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls.completion.metrics import percentiles

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import neovim  # noqa: E402
import vscode  # noqa: E402
from isolation import isolated_environment  # noqa: E402

TYPED_FILE = ROOT / "server" / "starcoder_ls" / "daemon" / "runtime_dir.py"
"""Any source file. Its first third is in the document before the first key."""

WAIT_S = 0.8
VSCODE_DELAY_MS = 50  # the delay before it requests inline suggestions, a constant (inlineCompletionsModel.ts)
NO_EDITOR_CHANGES = {
    "editor.autoIndent": "none",
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.suggestOnTriggerCharacters": False,
}

NEOVIM_TIMER = """
sent_ns, answered_ms = {}, nil
vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)
  local request, id = event.data.request, event.data.request_id
  if request.method ~= 'textDocument/inlineCompletion' then return end
  if request.type == 'pending' then sent_ns[id] = vim.uv.hrtime() end
  if request.type == 'complete' and sent_ns[id] then answered_ms = (vim.uv.hrtime() - sent_ns[id]) / 1e6 end
end })
vim.cmd('setlocal noautoindent nosmartindent indentexpr=')
"""
VSCODE_TIMER = f"""() => {{
  const ghost = () => [...document.querySelectorAll({json.dumps(vscode.GHOST)})].some((p) => p.textContent.trim());
  let keyTime = 0;
  document.addEventListener('keydown', () => {{
    keyTime = ghost() ? 0 : performance.now();
    window.drawnMs = null;
  }}, true);
  new MutationObserver(() => {{
    if (keyTime && ghost()) {{ window.drawnMs = performance.now() - keyTime; keyTime = 0; }}
  }}).observe(document.body, {{ subtree: true, childList: true, characterData: true, attributes: true }});
}}"""


def initial_text() -> str:
    lines = TYPED_FILE.read_text().splitlines(keepends=True)
    return "".join(lines[: len(lines) // 3])


def typed_lines() -> Iterator[tuple[str, str]]:
    """The two halves of each line: the second one is typed after the wait."""
    for line in TYPED_FILE.read_text().removeprefix(initial_text()).splitlines():
        middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
        yield line[:middle], line[middle:]


def measure_neovim(folder: Path) -> list[float]:
    file, measured = folder / "store.py", list[float]()
    file.write_text(initial_text())
    setup = f"require('starcoder').setup({{ cmd = {neovim.lua(neovim.BUNDLED_SERVER)}, maps = true }})\n"
    with neovim.running(folder, file, setup) as editor:
        editor.wait_until_ready()
        editor.run_lua(NEOVIM_TIMER)
        editor.type("Go")
        for first_half, second_half in typed_lines():
            editor.run_lua("answered_ms = nil")
            editor.type(first_half.replace("<", "<lt>"))
            time.sleep(WAIT_S if first_half else 0)
            if editor.ghost() and (answered_ms := editor.lua("answered_ms")):
                measured.append(answered_ms)
            editor.type(second_half.replace("<", "<lt>") + "<CR>")
        assert "\n".join(editor.lines()).strip() == TYPED_FILE.read_text().strip(), "the document differs from the file"
    return measured


def measure_vscode(folder: Path) -> list[float]:
    measured = list[float]()
    with vscode.running(folder) as code:
        code.write_user_settings(**NO_EDITOR_CHANGES)
        code.write_machine_settings(**{"starcoder.server.command": vscode.BUNDLED_SERVER})
        workspace = folder / "folder"
        workspace.mkdir()
        (workspace / "store.py").write_text(initial_text())
        window = code.open(workspace, "store.py")
        window.wait_for_status("bundled")
        window.page.click(".monaco-editor .view-lines")
        window.press("Control+End")
        window.page.evaluate(VSCODE_TIMER)
        for first_half, second_half in typed_lines():
            window.type(first_half, 15)
            time.sleep(WAIT_S if first_half else 0)
            drawn_ms: Any = window.page.evaluate("window.drawnMs")
            if first_half and drawn_ms is not None:
                measured.append(drawn_ms - VSCODE_DELAY_MS)
            window.type(second_half + "\n", 15)
        assert window.save().strip() == TYPED_FILE.read_text().strip(), "the document differs from the file"
    return measured


def main() -> int:
    table = Table("editor", "suggestions", "p50 ms", "p95 ms", title="without the editor's own delay")
    for name, measure in (("Neovim", measure_neovim), ("VS Code", measure_vscode)):
        with isolated_environment(), tempfile.TemporaryDirectory() as folder:
            measured = measure(Path(folder))
        at = percentiles(measured)
        table.add_row(name, str(len(measured)), f"{at['p50']:.0f}", f"{at['p95']:.0f}")
        print(name, *(f"{ms:.0f}" for ms in measured))
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
