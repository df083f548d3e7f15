"""A user of one window: types, deletes, undoes, jumps, accepts suggestions, runs actions, changes settings.

What happens depends only on the random generator and on the answers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from lib.soak.text_buffer import Edit, TextBuffer

MAX_LINES = 400
MANY_DOCUMENTS, LARGE_CHARS = 60, 400_000
ADAPTER_NAMES = tuple(f"soak-{number}" for number in range(4))
SETTINGS: tuple[dict[str, Any], ...] = (
    {"inline_completion": {"max_new_tokens": 32}},
    {"inline_completion": {"max_new_tokens": 64, "remember": True, "ahead": True}},
    {"inline_completion": {"heal_words": False, "ahead": False}},
    {"inline_completion": {"fim_order": "psm", "prompt_tokens": 512}},
    {"inline_completion": {"min_confidence": 0.5, "candidates": 2}},
    {"context": {"evidence": False, "ignore": ["*.secret"]}},
    {"inline_completion": {"max_new_tokens": "many"}},  # invalid
    {},
)
ACTIONS = ("explain", "document", "fix", "test", "simplify", "unknown-action")


class Connection(Protocol):
    """What a user needs of a window. ``request`` returns a future that never raises: the result, or None."""

    def request(self, method: str, params: Any) -> asyncio.Future[Any]: ...
    def cancel(self, future: asyncio.Future[Any]) -> None: ...
    def notify(self, method: str, params: Any) -> None: ...


class SimulatedUser:
    """``pace_s`` is the median time between two keys. ``sources`` are files whose lines are typed.

    ``adapters`` are folders of adapters that can be attached.
    """

    def __init__(
        self,
        connection: Connection,
        rng: random.Random,
        pace_s: float,
        sources: Sequence[Path],
        adapters: Sequence[Path] = (),
    ) -> None:
        self._connection, self._rng, self._pace_s = connection, rng, pace_s
        self._sources, self._adapters = sources, adapters
        self._buffers: list[TextBuffer] = []
        self._opened = 0
        self._unsent = ""
        self._request: tuple[asyncio.Future[Any], int] | None = None
        self._steps: list[tuple[float, Callable[[], Awaitable[None] | None]]] = [
            (70.0, self._type), (6.0, self._delete), (3.0, self._undo), (3.0, self._jump), (3.0, self._new_line),
            (2.0, self._switch), (2.0, self._complete), (1.5, self._ask_status), (0.8, self._open), (0.8, self._close),
            (0.6, self._act), (0.5, self._run_command), (0.3, self._change_settings), (0.3, self._save),
            (0.15, self._change_adapters), (0.1, self._replace_text), (0.1, self._send_nonsense),
            (0.03, self._open_large), (0.02, self._open_many),
        ]  # fmt: skip

    @property
    def _buffer(self) -> TextBuffer:
        return self._buffers[-1]

    async def step(self) -> None:
        """One action and the pause after it."""
        if not self._buffers:
            self._open()
        self._take_suggestion()
        action = self._rng.choices([action for _, action in self._steps], [weight for weight, _ in self._steps])[0]
        if (pause := action()) is not None:
            await pause
        await asyncio.sleep(min(self._rng.lognormvariate(0.0, 0.5) * self._pace_s, 5 * self._pace_s))

    def close_all(self) -> None:
        """Close the documents and detach the adapters of all windows: what the user has is as small as at the start."""
        self._request = None
        while self._buffers:
            self._close_buffer(self._buffers.pop())
        for name in ADAPTER_NAMES if self._adapters else ():
            self._execute("starcoder.detachAdapter", {"name": name})

    # Typing

    def _type(self) -> None:
        if not self._unsent:
            self._unsent = self._rng.choice(self._source_lines()).strip() or "return"
        char, self._unsent = self._unsent[0], self._unsent[1:]
        self._change(self._buffer.insert(self._rng.choice("😀é\tx") if self._rng.random() < 0.01 else char))
        if self._rng.random() < 0.9:
            self._request_suggestion()

    def _delete(self) -> None:
        self._change(self._buffer.delete_before(self._rng.randint(1, 5)))

    def _undo(self) -> None:
        for _ in range(self._rng.randint(1, 4)):
            self._change(self._buffer.undo())

    def _jump(self) -> None:
        line = self._rng.randrange(len(self._buffer.lines))
        self._buffer.move_to(line, self._rng.randint(0, len(self._buffer.lines[line])))
        self._request_suggestion()

    def _new_line(self) -> None:
        indent = " " * self._rng.choice((0, 4, 8))
        self._change(self._buffer.insert("\n" + indent))
        if len(self._buffer.lines) > MAX_LINES:
            self._change(self._buffer.apply(Edit(0, 0, MAX_LINES // 2, 0, "")))
        self._request_suggestion()

    def _request_suggestion(self) -> None:
        """As editors do: a new request for each key, and most of them cancel the previous one."""
        if self._request is not None and not self._request[0].done() and self._rng.random() < 0.7:
            self._connection.cancel(self._request[0])
        context = {"triggerKind": 1 if self._rng.random() < 0.03 else 2}
        params = {"textDocument": {"uri": self._buffer.uri}, "position": self._buffer.cursor, "context": context}
        self._request = (self._connection.request("textDocument/inlineCompletion", params), self._buffer.version)

    def _take_suggestion(self) -> None:
        """Show a suggestion for the current text, and accept it or a part of it, or type on."""
        if self._request is None or not self._request[0].done():
            return
        (future, version), self._request = self._request, None
        items = None if future.cancelled() else future.result()
        if not items or version != self._buffer.version:
            return
        item, buffer = items[0], self._buffer
        self._connection.notify("textDocument/didShowCompletion", {"item": item})
        choice, text = self._rng.random(), item["insertText"]
        line = item["range"]["start"]["line"]
        if choice > 0.5 or line >= len(buffer.lines):
            return
        start, end = (buffer.column_of(line, item["range"][side]["character"]) for side in ("start", "end"))
        if choice < 0.15:
            part = text[: self._rng.randint(1, len(text))]
            self._change(buffer.apply(Edit(line, start, line, start, part)))
            accepted = {"item": item, "acceptedLength": len(part)}
            self._connection.notify("textDocument/didPartiallyAcceptCompletion", accepted)
        else:
            self._change(buffer.apply(Edit(line, start, line, end, text)))
            if command := item.get("command"):
                self._execute(command["command"], *command.get("arguments", ()))

    def _change(self, change: dict[str, Any] | None) -> None:
        if change is not None:
            document = {"uri": self._buffer.uri, "version": self._buffer.version}
            self._connection.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def _replace_text(self) -> None:
        """The editor reloads the file: a change without a range."""
        self._change(self._buffer.reload(self._some_lines()))

    # Documents

    def _open(self) -> None:
        self._open_lines(self._some_lines())

    def _open_large(self) -> None:
        lines = self._source_lines() or ["x = 1"]
        repetitions = self._rng.randint(1, LARGE_CHARS) // sum(len(line) + 1 for line in lines) + 1
        self._open_lines(lines * repetitions)

    async def _open_many(self) -> None:
        for _ in range(MANY_DOCUMENTS):
            self._open()
            await asyncio.sleep(self._pace_s / 10)

    def _open_lines(self, lines: list[str]) -> None:
        self._opened += 1
        suffix, language = self._rng.choice(
            ((".py", "python"), (".js", "javascript"), (".md", "markdown"), (".go", "go"))
        )
        folder = self._sources[0].parent if self._sources else Path("/tmp")
        buffer = TextBuffer((folder / f"opened-{self._opened}{suffix}").as_uri(), lines)
        buffer.move_to(len(lines) // 2, 1000)
        document = {"uri": buffer.uri, "languageId": language, "version": buffer.version, "text": buffer.text}
        self._connection.notify("textDocument/didOpen", {"textDocument": document})
        self._buffers.append(buffer)
        while len(self._buffers) > MANY_DOCUMENTS:
            self._close_buffer(self._buffers.pop(0))

    def _close(self) -> None:
        """One document, sometimes all."""
        self._request = None
        for _ in range(len(self._buffers) if self._rng.random() < 0.1 else 1):
            self._close_buffer(self._buffers.pop())

    def _close_buffer(self, buffer: TextBuffer) -> None:
        self._connection.notify("textDocument/didClose", {"textDocument": {"uri": buffer.uri}})

    def _save(self) -> None:
        self._connection.notify("textDocument/didSave", {"textDocument": {"uri": self._buffer.uri}})

    def _switch(self) -> None:
        self._request = None
        self._buffers.append(self._buffers.pop(self._rng.randrange(len(self._buffers))))

    def _source_lines(self) -> list[str]:
        return self._rng.choice(self._sources).read_text(encoding="utf-8").split("\n")

    def _some_lines(self) -> list[str]:
        lines = self._source_lines()
        first = self._rng.randrange(len(lines))
        return lines[first : first + self._rng.randint(1, 150)]

    # Other requests

    def _position(self) -> dict[str, Any]:
        return {"textDocument": {"uri": self._buffer.uri}, "position": self._buffer.cursor}

    def _complete(self) -> None:
        self._connection.request("textDocument/completion", self._position())

    def _ask_status(self) -> None:
        document = {"textDocument": {"uri": self._buffer.uri}}
        method, params = self._rng.choice(
            (
                ("starcoder/status", None),
                ("starcoder/stats", None),
                ("starcoder/prompt", self._position()),
                ("starcoder/documentStatus", document),
            )
        )
        self._connection.request(method, params)

    async def _act(self) -> None:
        """List the code actions and compute the edit of one."""
        line = self._buffer.line
        end_line = min(line + self._rng.randint(0, 10), len(self._buffer.lines) - 1)
        span = {"start": self._buffer.position(line, 0), "end": self._buffer.position(end_line, 0)}
        params = {"textDocument": {"uri": self._buffer.uri}, "range": span, "context": {"diagnostics": []}}
        listing = self._connection.request("textDocument/codeAction", params)
        await asyncio.wait([listing], timeout=10 * self._pace_s)
        if not listing.done() or not (actions := listing.result()):
            return
        action = self._rng.choice(actions)
        if isinstance(action.get("command"), dict):
            self._execute(action["command"]["command"], *action["command"].get("arguments", ()))
            return
        resolving = self._connection.request("codeAction/resolve", action)
        if self._rng.random() < 0.4:
            await asyncio.sleep(self._pace_s)
            self._connection.cancel(resolving)

    async def _run_command(self) -> None:
        position = self._buffer.cursor
        argument = {
            "uri": self._buffer.uri,
            "range": {"start": position, "end": position},
            "action": self._rng.choice(ACTIONS),
        }
        if self._rng.random() < 0.5:
            argument["token"] = f"t{self._rng.randrange(10**6)}"
        running = self._execute(self._rng.choice(("starcoder.explain", "starcoder.act")), argument)
        if self._rng.random() < 0.4:
            await asyncio.sleep(5 * self._pace_s)
            self._connection.cancel(running)

    def _change_settings(self) -> None:
        settings = self._rng.choice(SETTINGS)
        self._connection.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": settings}})

    def _change_adapters(self) -> None:
        """Adapters are resident for all windows of the daemon: another window may have taken or removed the name."""
        if not self._adapters or self._rng.random() < 0.4:
            self._execute("starcoder.listAdapters")
            return
        name = self._rng.choice(ADAPTER_NAMES)
        if self._rng.random() < 0.5:
            self._execute("starcoder.detachAdapter", {"name": name})
            return
        tasks = self._rng.choice((["completion"], ["instruct"]))
        path = str(self._rng.choice(self._adapters))
        self._execute("starcoder.attachAdapter", {"name": name, "path": path, "tasks": tasks, "allow_other_base": True})

    def _send_nonsense(self) -> None:
        method, params = self._rng.choice(
            (
                ("starcoder/unknown", {}),
                ("textDocument/inlineCompletion", {"textDocument": 1}),
                ("workspace/executeCommand", {"command": "starcoder.explain", "arguments": [1, 2]}),
                ("textDocument/codeAction", None),
            )
        )
        self._connection.request(method, params)

    def _execute(self, command: str, *arguments: Any) -> asyncio.Future[Any]:
        return self._connection.request("workspace/executeCommand", {"command": command, "arguments": list(arguments)})
