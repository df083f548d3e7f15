"""A real server process with a scripted engine. Arguments: the engine's options as JSON, optionally ``--tcp`` or
``--http``.

The option ``settings`` replaces the user's settings file. With ``--resident``, a file descriptor and a path, it is the
daemon that tests/support/window_fake.py connects to; it exits after ``FAKE_IDLE_S`` seconds without a window.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from fakes import PoisonedEngine, ScriptedEngine
from starcoder_ls.app import Server
from starcoder_ls.commands.resident import settings_of
from starcoder_ls.daemon import daemon
from starcoder_ls.http_api import serve as http_serve
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.lsp import stdio, tcp
from starcoder_ls.settings import Settings


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    is_noisy = options.pop("is_noisy", False)
    if "error" in options:
        options["error"] = RuntimeError(options["error"])
    chosen = Settings.model_validate({"model": {"name": "scripted"}} | options.pop("settings", {}))
    server = Server(lambda _: (PoisonedEngine if "poison" in options else ScriptedEngine)(**options), chosen)
    if "--resident" in sys.argv:
        idle_s = float(os.environ.get("FAKE_IDLE_S", "600"))
        return daemon.serve(server, int(sys.argv[-2]), Path(sys.argv[-1]), settings_of, idle_s)
    if "--http" in sys.argv:
        source = EngineSource(lambda _: ScriptedEngine(**options), chosen)
        return http_serve.serve(source, chosen, "127.0.0.1", 0, _print_address)
    if "--tcp" in sys.argv:
        return tcp.serve(server, on_listening=_print_address)
    if is_noisy:
        threading.Thread(target=_print_to_stdout, daemon=True).start()
    return stdio.serve(server)


def _print_to_stdout() -> None:
    """Print to standard output, as libraries do, once the server has taken it over."""
    while sys.stdout is not sys.stderr:
        time.sleep(0.001)
    for _ in range(100):
        print("a stray print")  # noqa: T201
        os.write(1, b"a stray write of some library\n")
        time.sleep(0.002)


def _print_address(host: str, port: int, token_file: Path) -> None:
    print(json.dumps([host, port, str(token_file)]), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
