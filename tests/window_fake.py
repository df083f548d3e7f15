"""A real window process whose daemon is tests/serve_fake.py. Argument: the engine's options as JSON.

The option ``instead`` is Python code that runs in place of the daemon.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from starcoder_ls.daemon import forwarder
from starcoder_ls.daemon.launch_options import launch_options


def main() -> int:
    program = [sys.executable, str(Path(__file__).with_name("serve_fake.py")), sys.argv[1]]
    if (instead := json.loads(sys.argv[1]).get("instead")) is not None:
        program = [sys.executable, "-S", "-c", instead]
    window = launch_options([])
    assert window is not None
    return forwarder.run(window, [*program, "--resident"], program)


if __name__ == "__main__":
    sys.exit(main())
