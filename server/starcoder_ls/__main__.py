"""``starcoder-ls`` and ``python -m starcoder_ls``."""

from __future__ import annotations

import contextlib
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  an editor may start another Python than the installer checked
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.exit(f"starcoder-ls needs Python 3.11 or newer, and this is {found}. Use another Python.")

from starcoder_ls.errors import NO_ENGINE, StarcoderError
from starcoder_ls.printable import escape_control_characters

_LINE_FEED = "\n"


def main() -> None:
    """Run the command line and exit. Exit codes: 1 with a message on standard error for a StarcoderError, 130 for
    Ctrl-C."""
    exit_code, are_threads_joined = _run(), False
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: do not wait any longer
        are_threads_joined = _join_engine_threads()
    if not are_threads_joined:  # an interpreter that ends in order would abort
        with contextlib.suppress(OSError, ValueError):  # closed by the reader
            sys.stdout.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def _run() -> int:
    """Returns the exit code."""
    try:
        if sys.argv[1:2] == ["serve"] and (exit_code := _run_window(sys.argv[2:])) is not None:
            return exit_code
        from starcoder_ls.cli.application import application
        from starcoder_ls.commands.support.log_file import configure_last_resort

        configure_last_resort()
        application()
    except StarcoderError as error:
        print(f"starcoder-ls: {escape_control_characters(str(error), keep=_LINE_FEED)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in ("starcoder_ls.engine", "starcoder_ls.learning", "numpy"):
            raise
        print(f"starcoder-ls: {NO_ENGINE}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemExit as exit_:  # how the command line interface ends
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


def _join_engine_threads() -> bool:
    """Whether no thread of an engine runs any more. No engine was made if its module was not imported."""
    local_engine = sys.modules.get("starcoder_ls.engine.local_engine")
    return local_engine is None or bool(local_engine.join_engine_threads())


def _run_window(arguments: list[str]) -> int | None:
    """Run ``serve`` as a window process of the daemon. None if the options do not allow it.

    It comes before the import of the command line interface, for which each window would pay.
    """
    if sys.platform == "win32":
        return None
    from starcoder_ls.daemon.launch_options import launch_options

    if (options := launch_options(arguments)) is None:
        return None
    from starcoder_ls.daemon.forwarder import run
    from starcoder_ls.daemon.runtime_dir import DAEMON_COMMAND

    private_server = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share", *arguments]
    return run(options, DAEMON_COMMAND, private_server)


if __name__ == "__main__":
    main()
