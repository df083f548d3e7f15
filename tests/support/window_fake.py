"""A real window process whose daemon is tests/support/serve_fake.py. Arguments: the engine's options as JSON, then
those of ``starcoder-ls serve``.

The option ``instead`` is Python code that runs in place of the daemon.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from starcoder_ls.daemon import forwarder
from starcoder_ls.daemon.launch_options import launch_options


def main() -> int:
    command = [sys.executable, str(Path(__file__).with_name("serve_fake.py")), sys.argv[1]]
    if (code := json.loads(sys.argv[1]).get("instead")) is not None:
        command = [sys.executable, "-S", "-c", code]
    options = launch_options(sys.argv[2:])
    assert options is not None
    return forwarder.run(options, [*command, "--resident"], command)


if __name__ == "__main__":
    sys.exit(main())
