"""``starcoder-ls`` and ``python -m starcoder_ls``."""

from __future__ import annotations

import sys

from starcoder_ls.errors import StarcoderError
from starcoder_ls.printable import escape_control_characters

_LINE_FEED = "\n"


def main() -> None:
    """Run the command line. Exit codes: 1 with a message on standard error for a StarcoderError, 130 for Ctrl-C."""
    try:
        if sys.argv[1:2] == ["serve"] and (exit_code := _run_window(sys.argv[2:])) is not None:
            sys.exit(exit_code)
        from starcoder_ls.cli.application import application
        from starcoder_ls.commands.support.log_file import configure_last_resort

        configure_last_resort()

        application()
    except StarcoderError as error:
        print(f"starcoder-ls: {escape_control_characters(str(error), keep=_LINE_FEED)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


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
