"""Whether an adapter on a server does what it does here: the same prompts, greedy, through both engines.

Equal answers are not enough: a server that drops the adapter's weights answers as its base does (vLLM does so for LoRA
on ``c_attn`` of GPTBigCode), so answers must also differ from the base's.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.generation import Engine, Request

TOKENS = 8
MAX_LOGPROB_DIFFERENCE = 2e-2
"""Per answer of TOKENS tokens, in nats: that of 16-bit weights."""

_STARTS = (
    "def read_config(path):\n", "class Stack:\n    def push(self, item):\n", "import os\n\nfor name in ",
    "if __name__ == ", "# Question: what does this function do?\n", "async def fetch(url, timeout):\n",
    "public static void main(", "const users = await ",
)  # fmt: skip
_ENDS = ("    ", "    return ", "    result = ", "    for ")
PROMPTS = tuple(start + end for start in _STARTS for end in _ENDS)


@dataclass(frozen=True, slots=True)
class Parity:
    """Counts over PROMPTS. ``equal`` is None if there was no engine to compare with."""

    different_from_base: int
    equal: int | None = None
    logprob_difference: float = 0.0

    @property
    def is_passed(self) -> bool:
        """Whether the adapter may serve, as far as it could be compared."""
        is_equal = self.equal is None or self.equal == len(PROMPTS)
        return self.different_from_base > 0 and is_equal and self.logprob_difference <= MAX_LOGPROB_DIFFERENCE

    def describe(self) -> str:
        """One line for a report."""
        if not self.different_from_base:
            return f"NOT APPLIED: answers to {len(PROMPTS)} prompts equal those of the base; merge it into the base"
        base = f"differs from the base at {self.different_from_base} of {len(PROMPTS)} prompts"
        if self.equal is None:
            return f"{base}; not compared with the adapter here, which or whose base is missing"
        verdict = "equal" if self.is_passed else "NOT EQUAL"
        return (
            f"{verdict} at {self.equal} of {len(PROMPTS)} prompts to the adapter here (log probabilities within "
            f"{self.logprob_difference:.1g}); {base}"
        )


async def compare_adapter(server: Engine, adapter: str, reference: Engine | None = None) -> Parity:
    """Compare ``adapter`` on ``server`` with the base there, and with the same adapter in ``reference`` if given.

    Raises what ``Engine.stream`` raises.
    """
    different = equal = 0
    difference = 0.0
    for prompt in PROMPTS:
        text, logprob = await _answer(server, prompt, adapter)
        different += (await _answer(server, prompt, None))[0] != text
        if reference is not None:
            expected, expected_logprob = await _answer(reference, prompt, adapter)
            equal += text == expected
            difference = max(difference, abs(logprob - expected_logprob)) if text == expected else difference
    return Parity(different, None if reference is None else equal, difference)


async def _answer(engine: Engine, prompt: str, adapter: str | None) -> tuple[str, float]:
    """The greedy text of TOKENS tokens, and the sum of their log probabilities."""
    text, logprob = "", 0.0
    async for chunk in engine.stream(Request((prompt,), TOKENS, adapter=adapter)):
        text, logprob = text + chunk.text, logprob + chunk.logprob
    return text, logprob
