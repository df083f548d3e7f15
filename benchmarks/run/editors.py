"""How long a real Neovim and a real VS Code wait for the bundled model while somebody writes a file.

Each line is begun, looked at, and finished. Timed are looks that show a suggestion, after the editor's own delay: in
Neovim from its request to its answer, in VS Code from the last key to ghost text on the screen, less the delay.

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
sys.path.insert(0, str(ROOT / "tests"))

import neovim  # noqa: E402
import vscode  # noqa: E402
from isolation import isolated_environment  # noqa: E402

WRITTEN = ROOT / "server" / "starcoder_ls" / "daemon" / "runtime_dir.py"
"""Any real code will do. Its first third is there before the first key."""

LOOK_S = 0.8
VSCODE_DELAY_MS = 50  # its debounce of inline suggestions, a constant (inlineCompletionsModel.ts)
AS_TYPED = {
    "editor.autoIndent": "none",
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.suggestOnTriggerCharacters": False,
}

TIMED_BY_NEOVIM = """
asked, answered_ms = {}, nil
vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)
  local request, id = event.data.request, event.data.request_id
  if request.method ~= 'textDocument/inlineCompletion' then return end
  if request.type == 'pending' then asked[id] = vim.uv.hrtime() end
  if request.type == 'complete' and asked[id] then answered_ms = (vim.uv.hrtime() - asked[id]) / 1e6 end
end })
vim.cmd('setlocal noautoindent nosmartindent indentexpr=')
"""
TIMED_BY_VSCODE = f"""() => {{
  const ghost = () => [...document.querySelectorAll({json.dumps(vscode.GHOST)})].some((one) => one.textContent.trim());
  let keyed = 0;
  document.addEventListener('keydown', () => {{
    keyed = ghost() ? 0 : performance.now();
    window.drawnMs = null;
  }}, true);
  new MutationObserver(() => {{
    if (keyed && ghost()) {{ window.drawnMs = performance.now() - keyed; keyed = 0; }}
  }}).observe(document.body, {{ subtree: true, childList: true, characterData: true, attributes: true }});
}}"""


def before() -> str:
    lines = WRITTEN.read_text().splitlines(keepends=True)
    return "".join(lines[: len(lines) // 3])


def lines() -> Iterator[tuple[str, str]]:
    """What is typed of each line before somebody looks, and after."""
    for line in WRITTEN.read_text().removeprefix(before()).splitlines():
        middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
        yield line[:middle], line[middle:]


def in_neovim(place: Path) -> list[float]:
    file, measured = place / "store.py", list[float]()
    file.write_text(before())
    setup = f"require('starcoder').setup({{ cmd = {neovim.lua(neovim.BUNDLED_SERVER)}, maps = true }})\n"
    with neovim.running(place, file, setup) as editor:
        editor.wait_until_ready()
        editor.run_lua(TIMED_BY_NEOVIM)
        editor.type("Go")
        for begun, rest in lines():
            editor.run_lua("answered_ms = nil")
            editor.type(begun.replace("<", "<lt>"))
            time.sleep(LOOK_S if begun else 0)
            if editor.ghost() and (answered_ms := editor.lua("answered_ms")):
                measured.append(answered_ms)
            editor.type(rest.replace("<", "<lt>") + "<CR>")
        assert "\n".join(editor.lines()).strip() == WRITTEN.read_text().strip(), "something else was written"
    return measured


def in_vscode(place: Path) -> list[float]:
    measured = list[float]()
    with vscode.running(place) as code:
        code.write_user_settings(**AS_TYPED)
        code.write_machine_settings(**{"starcoder.server.command": vscode.BUNDLED_SERVER})
        folder = place / "folder"
        folder.mkdir()
        (folder / "store.py").write_text(before())
        window = code.open(folder, "store.py")
        window.wait_for_status("bundled")
        window.page.click(".monaco-editor .view-lines")
        window.press("Control+End")
        window.page.evaluate(TIMED_BY_VSCODE)
        for begun, rest in lines():
            window.type(begun, 15)
            time.sleep(LOOK_S if begun else 0)
            drawn_ms: Any = window.page.evaluate("window.drawnMs")
            if begun and drawn_ms is not None:
                measured.append(drawn_ms - VSCODE_DELAY_MS)
            window.type(rest + "\n", 15)
        assert window.save().strip() == WRITTEN.read_text().strip(), "something else was written"
    return measured


def main() -> int:
    table = Table("editor", "looks with a suggestion", "p50 ms", "p95 ms", title="after the editor's own delay")
    for name, measure in (("Neovim", in_neovim), ("VS Code", in_vscode)):
        with isolated_environment(), tempfile.TemporaryDirectory() as place:
            measured = measure(Path(place))
        at = percentiles(measured)
        table.add_row(name, str(len(measured)), f"{at['p50']:.0f}", f"{at['p95']:.0f}")
        print(name, *(f"{ms:.0f}" for ms in measured))
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
