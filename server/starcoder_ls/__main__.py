"""``starcoder-ls`` and ``python -m starcoder_ls``."""

from __future__ import annotations

import sys

from starcoder_ls.errors import StarcoderError


def main() -> None:
    """Run the command line; exits 1 with one sentence for what went wrong on purpose, 130 for Ctrl-C."""
    from starcoder_ls.cli import application

    try:
        application()
    except StarcoderError as error:
        print(f"starcoder-ls: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
