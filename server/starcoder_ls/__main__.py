"""``starcoder-ls`` and ``python -m starcoder_ls``."""

from __future__ import annotations

import sys

from starcoder_ls.errors import StarcoderError


def main() -> None:
    """Run the command line; exits 1 with one sentence for what went wrong on purpose, 130 for Ctrl-C."""
    try:
        if sys.argv[1:2] == ["serve"] and (exit_code := _as_a_window(sys.argv[2:])) is not None:
            sys.exit(exit_code)
        from starcoder_ls.cli.application import application

        application()
    except StarcoderError as error:
        print(f"starcoder-ls: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _as_a_window(arguments: list[str]) -> int | None:
    """``serve`` around a resident process, before anything is imported that each window would pay for."""
    if sys.platform == "win32":
        return None
    from starcoder_ls.daemon.launch_options import launch_options

    if (window := launch_options(arguments)) is None:
        return None
    from starcoder_ls.daemon.forwarder import run
    from starcoder_ls.daemon.runtime_dir import RESIDENT

    alone = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share", *arguments]
    return run(window, RESIDENT, alone)


if __name__ == "__main__":
    main()
