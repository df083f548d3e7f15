"""Servers with the bundled model for `benchmarks/run/remote.py`, and what their metrics say about their work."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

import starcoder_ls
from lib.vllm_server import kill_group, running_vllm
from peers.llama_server import running_llama_server

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
TOKEN = "sesame"
_POLL_S, _WAIT_S = 0.005, 120.0


@dataclass(frozen=True, slots=True)
class MetricNames:
    """Sums of the metrics of these names. ``busy_s`` grows when an answer is complete; ``generated`` also counts those
    that were left."""

    requests: tuple[str, ...]
    generated: str
    busy_s: tuple[str, ...]
    read: str
    not_read: str = ""


LLAMA_CPP = MetricNames(
    requests=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    generated="llamacpp:tokens_predicted_total",
    busy_s=("llamacpp:prompt_seconds_total", "llamacpp:tokens_predicted_seconds_total"),
    read="llamacpp:prompt_tokens_total",
)
VLLM = MetricNames(
    requests=("vllm:num_requests_running", "vllm:num_requests_waiting"),
    generated="vllm:generation_tokens_total",
    busy_s=("vllm:e2e_request_latency_seconds_sum",),
    read="vllm:prefix_cache_queries_total",
    not_read="vllm:prefix_cache_hits_total",
)


class MeasuredServer:
    """A running server that nobody else uses. ``begin`` is called before each request that is measured."""

    def __init__(self, url: str, names: MetricNames, kill: Callable[[], None]) -> None:
        self.url, self.kill, self._names = url, kill, names
        self._client = httpx2.Client(
            base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=_WAIT_S
        )

    def begin(self) -> None:
        self._generated, self._busy_s = self._sum(self._names.generated), self._sum(*self._names.busy_s)

    def answer_ms(self) -> float:
        """What the server says that the complete answer since ``begin`` took."""
        self._wait_until(lambda: self._sum(*self._names.busy_s) > self._busy_s)
        return (self._sum(*self._names.busy_s) - self._busy_s) * 1000

    def wait_until_idle(self) -> int:
        """The tokens that were generated since ``begin``, once no request is processed."""
        self._wait_until(lambda: not self._sum(*self._names.requests))
        return int(self._sum(self._names.generated) - self._generated)

    def prompt_tokens_read(self) -> float:
        """Tokens of prompts so far, without those in the prefix cache."""
        return self._sum(self._names.read) - (self._sum(self._names.not_read) if self._names.not_read else 0.0)

    def _sum(self, *names: str) -> float:
        response = self._client.get("/metrics").raise_for_status()
        values = [
            (label.partition("{")[0], float(value))
            for label, _, value in (line.rpartition(" ") for line in response.text.splitlines() if line[:1] != "#")
        ]
        missing = set(names) - {name for name, _ in values}
        if missing:
            raise SystemExit(f"The server at {self.url} has no metric {min(missing)}.")
        return sum(value for name, value in values if name in names)

    def _wait_until(self, is_reached: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + _WAIT_S
        while not is_reached():
            if time.monotonic() > deadline_s:
                raise SystemExit(f"The server at {self.url} is still busy after {_WAIT_S:.0f} s.")
            time.sleep(_POLL_S)


Start = Callable[[int], AbstractContextManager[MeasuredServer]]
"""Runs a server on a port; 0 means a free one."""


def llama_cpp(folder: Path) -> Start:
    """llama.cpp's server with weights of 32 bits, on one thread."""
    from peers.llama_cpp import convert  # imports torch

    model = convert(BUNDLED, folder / "bundled.gguf", "f32")

    @contextmanager
    def start(port: int) -> Iterator[MeasuredServer]:
        with running_llama_server(model, TOKEN, port) as (url, process):
            yield MeasuredServer(url, LLAMA_CPP, lambda: _kill(process))

    return start


def _kill(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()


def vllm(folder: Path, program: str) -> Start:
    """vLLM on this machine's CPU, in float32. ``program`` is the path of ``vllm``."""

    @contextmanager
    def start(port: int) -> Iterator[MeasuredServer]:
        with running_vllm(program, BUNDLED, "bundled", folder / "vllm.log", TOKEN, {}, port) as (url, process):
            yield MeasuredServer(url, VLLM, lambda: kill_group(process))

    return start
