"""The session of one JupyterLab page: its documents, its language server, its requests.

A page has its own process, as an editor window has: the process is small, and forwards to the daemon that holds the
model. It ends with the page.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starcoder_jupyterlab.insertion import Insertion, insertion_of
from starcoder_jupyterlab.language_server import LanguageServer, ResponseFailed, ServerEnded
from starcoder_jupyterlab.synchronization import Cell, Notebook, TextFile, position

MAX_RESTARTS, RESTART_WINDOW_S = 4, 180.0
KEPT_COMMANDS = 64
INSTALLATION = (
    "starcoder-ls was not found in the environment of the Jupyter server, on its PATH or where uv and pipx install it. "
    "Install it (`uv tool install starcoder-ls`), or set `c.StarCoder.command` in jupyter_server_config.py; then "
    "reload this page."
)
OUTDATED = "This starcoder-ls does not know notebooks. Install a newer one, then reload this page."

_INVOKED, _AUTOMATIC = 1, 2  # InlineCompletionTriggerKind
_SEVERITIES = {1: "error", 2: "warning"}  # MessageType
_CAPABILITIES = {
    "general": {"positionEncodings": ["utf-32"]},
    "textDocument": {"inlineCompletion": {}},
    "notebookDocument": {"synchronization": {}},
    "workspace": {"workspaceFolders": True},
    "experimental": {"starcoderStatus": True},
}


class BrowserSession:
    """``send`` sends a message to the page; ``find_command`` returns the command of the language server or None.

    ``root`` is the folder that the paths of documents are relative to, if the Jupyter server has files of this machine.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        find_command: Callable[[], list[str] | None],
        root: Path | None,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._send, self._find_command, self._root, self._log = send, find_command, root, log
        self._documents: dict[str, Notebook | TextFile] = {}
        self._server: LanguageServer | None = None
        self._is_ready = self._is_closed = False
        self._starting: asyncio.Task[None] | None = None
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._reports: set[asyncio.Task[None]] = set()
        self._commands: dict[int, dict[str, Any]] = {}
        self._next_item = 0
        self._end_times: deque[float] = deque(maxlen=MAX_RESTARTS)

    def start(self) -> None:
        """Start the language server in the background."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    def receive(self, message: dict[str, Any]) -> None:
        """Handle a message of the page. Raises ValueError, KeyError, TypeError or AttributeError if it is malformed."""
        match message["type"]:
            case "document":
                self._update(message)
            case "close":
                self._close_document(message["document"])
            case "complete":
                request = int(message["request"])
                task = asyncio.get_running_loop().create_task(self._complete(request, message))
                self._requests[request] = task
                task.add_done_callback(lambda _: self._requests.pop(request, None))
            case "cancel":
                if (pending := self._requests.get(message["request"])) is not None:
                    pending.cancel()
            case "accepted":
                self._accept(message["item"])
            case other:
                raise ValueError(other)

    async def close(self) -> None:
        """End the language server."""
        self._is_closed = True
        if self._server is None and self._starting is not None:
            await self._starting  # asyncio would leave the process behind if its creation was cancelled
        if self._server is not None:
            await self._server.stop()

    async def _start(self) -> None:
        command = self._find_command()
        if command is None:
            self._send_status("missing", INSTALLATION)
            return
        self._send_status("starting", "")
        self._log.debug("starcoder-jupyterlab: starting %s", " ".join(command))
        try:
            self._server = await LanguageServer.start(command, self._on_notification, self._on_end)
        except OSError as error:
            self._send_status("missing", f"{command[0]} cannot be started: {error.strerror or error}.")
            return
        if self._is_closed:
            return  # `close` ends the process
        try:
            result = await self._server.request("initialize", self._initialize_params())
        except ServerEnded:
            return  # `_on_end` says why
        except ResponseFailed as error:
            self._send_status("stopped", f"starcoder-ls cannot serve this page: {error}")
            return
        if "notebookDocumentSync" not in result["capabilities"]:
            self._send_status("stopped", OUTDATED)
            return
        self._server.notify("initialized", {})
        self._is_ready = True
        for document in self._documents.values():
            document.forget()
            self._synchronize(document)

    def _initialize_params(self) -> dict[str, Any]:
        """The server's folder is the workspace, unless it is the home folder: its files are no project."""
        root = self._root
        is_project = root is not None and root.resolve() not in (Path.home().resolve(), Path(root.anchor))
        folders = [{"uri": root.as_uri(), "name": root.name}] if root is not None and is_project else []
        return {
            "processId": os.getpid(),
            "clientInfo": {"name": "JupyterLab"},
            "rootUri": None,
            "workspaceFolders": folders,
            "capabilities": _CAPABILITIES,
        }

    def _on_notification(self, method: str, params: Any) -> None:
        if method == "starcoder/status":
            shown = {key: params.get(key) for key in ("phase", "model", "device", "progress")}
            self._send_status("running", str(params.get("message") or ""), **shown)
        elif method == "window/showMessage":
            severity = _SEVERITIES.get(params.get("type"), "info")
            self._send({"type": "notice", "severity": severity, "text": str(params.get("message", ""))})

    def _on_end(self, reason: str) -> None:
        """The process ended unexpectedly: start it again, unless it has ended too often."""
        self._is_ready, self._server = False, None
        if self._is_closed:
            return
        now = time.monotonic()
        is_restarted = len(self._end_times) < MAX_RESTARTS or now - self._end_times[0] > RESTART_WINDOW_S
        self._end_times.append(now)
        if not is_restarted:
            text = f"starcoder-ls ended repeatedly ({reason}). Reload this page to start it again."
            self._send_status("stopped", text)
            return
        self._send_status("starting", f"starcoder-ls ended unexpectedly and is started again ({reason}).")
        self.start()

    def _send_status(self, kind: str, message: str, **values: Any) -> None:
        self._send({"type": "status", "kind": kind, "message": message, **values})

    def _update(self, message: dict[str, Any]) -> None:
        """Store the cells of a document. A cell without text has the text that it had."""
        name = message["document"]
        document = self._documents.get(name) or self._new_document(name, message["isNotebook"])
        known = {cell.id: cell.text for cell in document.cells.values()}
        cells = []
        for cell in message["cells"]:
            text = cell["text"] if "text" in cell else known[cell["id"]]
            cells.append(Cell(cell["id"], cell["language"], cell["isCode"], text, cell.get("output", "")))
        document.set_cells(cells)
        self._documents[name] = document
        self._synchronize(document)

    def _new_document(self, path: str, is_notebook: bool) -> Notebook | TextFile:
        full = f"/{path}" if self._root is None else (self._root / path).as_posix()
        encoded = quote(full)
        uri = f"jupyter:{encoded}" if self._root is None else f"file://{encoded}"
        return Notebook(uri, f"jupyter-cell:{encoded}") if is_notebook else TextFile(uri)

    def _synchronize(self, document: Notebook | TextFile) -> None:
        if self._is_ready and self._server is not None:
            for method, params in document.changes():
                self._server.notify(method, params)

    def _close_document(self, name: str) -> None:
        document = self._documents.pop(name, None)
        if document is not None and self._is_ready and self._server is not None:
            for method, params in document.close():
                self._server.notify(method, params)

    async def _complete(self, request: int, message: dict[str, Any]) -> None:
        """Answer a request with what JupyterLab can insert at the cursor."""
        items: list[Insertion] = []
        commands: list[dict[str, Any] | None] = []
        document = self._documents.get(message["document"])
        found = None if document is None else _find(document, message["cell"])
        if found is not None and self._is_ready and self._server is not None:
            uri, text = found
            offset = min(max(int(message["offset"]), 0), len(text))
            params = {
                "textDocument": {"uri": uri},
                "position": position(text, offset),
                "context": {"triggerKind": _INVOKED if message["isInvoked"] else _AUTOMATIC},
            }
            try:
                result = await self._server.request("textDocument/inlineCompletion", params)
            except (ResponseFailed, ServerEnded):
                result = None
            for item in result or []:
                if (insertion := insertion_of(item, text, offset)) is not None:
                    items.append(insertion)
                    commands.append(item.get("command"))
        answers = [
            {"id": self._keep_command(command), "text": item.text, "replacedAfter": item.replaced_after}
            for item, command in zip(items, commands, strict=True)
        ]
        self._send({"type": "items", "request": request, "items": answers})

    def _keep_command(self, command: dict[str, Any] | None) -> int:
        """The number of an item whose ``command`` reports that it was accepted."""
        self._next_item += 1
        if command is not None:
            self._commands[self._next_item] = command
            if len(self._commands) > KEPT_COMMANDS:
                del self._commands[min(self._commands)]
        return self._next_item

    def _accept(self, item: int) -> None:
        command = self._commands.pop(item, None)
        if command is not None and self._is_ready and self._server is not None:
            params = {"command": command["command"], "arguments": command.get("arguments", [])}
            report = asyncio.get_running_loop().create_task(self._execute(params))
            self._reports.add(report)
            report.add_done_callback(self._reports.discard)

    async def _execute(self, params: dict[str, Any]) -> None:
        try:
            if self._server is not None:
                await self._server.request("workspace/executeCommand", params)
        except (ResponseFailed, ServerEnded) as error:
            self._log.debug("starcoder-jupyterlab: %s", type(error).__name__)


def _find(document: Notebook | TextFile, cell_id: str) -> tuple[str, str] | None:
    """URI and text of a cell."""
    for uri, cell in document.cells.items():
        if cell.id == cell_id:
            return uri, cell.text
    return None
