"""A language server without a model: it reports each message that it receives as the text of ``window/showMessage``.

It answers every completion with the same item; with the argument ``--silent`` with none. With ``--fail`` it ends
when it is initialized.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

ITEM_TEXT = "total(rows)"
COMMAND = {"title": "", "command": "starcoder.accepted", "arguments": [{"id": "item-7"}]}


def read_messages(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := stream.readline():
        length = int(line.partition(b":")[2])
        stream.readline()
        yield json.loads(stream.read(length))


def send(message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    sys.stdout.buffer.flush()


def main() -> int:
    for message in read_messages(sys.stdin.buffer):
        method, params = message["method"], message.get("params") or {}
        send({"method": "window/showMessage", "params": {"type": 3, "message": json.dumps({method: params})}})
        if method == "exit":
            return 0
        if method == "initialize" and "--fail" in sys.argv:
            sys.stderr.write("INFO starting\nthe weights are missing\n")
            return 3
        if method == "initialize":
            send({"id": message["id"], "result": {"capabilities": {"notebookDocumentSync": {}}}})
        elif method == "textDocument/inlineCompletion":
            if "--silent" not in sys.argv:
                here = {"start": params["position"], "end": params["position"]}
                send({"id": message["id"], "result": [{"insertText": ITEM_TEXT, "range": here, "command": COMMAND}]})
        elif "id" in message:
            send({"id": message["id"], "result": None})
    return 1


if __name__ == "__main__":
    sys.exit(main())
