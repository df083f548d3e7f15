"""A real vLLM for the slow lane. VLLM_COMMAND is the path of ``vllm`` (``lib.vllm_server``)."""

from __future__ import annotations

import os

import pytest

COMMAND = os.environ.get("VLLM_COMMAND", "")
needs_vllm = pytest.mark.skipif(not COMMAND, reason="VLLM_COMMAND does not name a vllm program (3.5 GB, minutes)")
