"""Which token each candidate of a request gets next, and what becomes of the candidate by it.

Decides that an answer begins with its opening, and that candidates end apart. Refuses to know where logits come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.engine.runner.sampling import Sampler
from starcoder_ls.generation import Request
from starcoder_ls.text_tokens.candidate import Candidate, SampledToken, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_TRIES = 4  # draws by which a candidate may avoid ending as a copy of another


def samplers_of(request: Request) -> list[Sampler | None]:
    """None is greedy: the first of several, and all at temperature 0."""
    if request.candidates == 1 and request.sampling.temperature == 0.0:
        return [None]
    drawn = [Sampler(request.sampling, stream) for stream in range(request.candidates)]
    return list(drawn) if request.candidates == 1 else [None, *drawn[1:]]


def select_tokens(
    logits: Logits,
    alive: Sequence[Candidate],
    all_candidates: Sequence[Candidate],
    samplers: Sequence[Sampler | None],
    ending: StopCriteria,
) -> tuple[list[SampledToken], list[Candidate]]:
    """The next token of each of ``alive``, and what becomes of it. ``logits`` has a row for each."""
    with torch.inference_mode():
        likeliest = logits.likeliest() if None in (samplers[c.index] for c in alive) else []
        taken = {candidate.text for candidate in all_candidates if candidate.finish_reason is not None}
        drawn, grown = [], []
        for row, candidate in enumerate(alive):
            sampler = samplers[candidate.index]
            if sampler is None:
                token = likeliest[row]
                after = ending.append_token(candidate, token.id)
            else:
                token, after = _drawn_apart(logits.values[row], candidate, sampler, ending, taken)
            if after.finish_reason is not None:
                taken.add(after.text)
            drawn.append(token)
            grown.append(after)
        return drawn, grown


def _drawn_apart(
    logits: torch.Tensor, candidate: Candidate, sampler: Sampler, ending: StopCriteria, taken: set[str]
) -> tuple[SampledToken, Candidate]:
    """A token that does not make ``candidate`` end with a text that is taken, if few draws find one.

    Two candidates are alike for good only with the token that ends the second, so that token alone is drawn anew.
    """
    banned: set[int] = set()
    while True:
        token = sampler.draw(logits, banned)
        after = ending.append_token(candidate, token.id)
        if after.finish_reason is None or after.text not in taken or len(banned) == _TRIES:
            return token, after
        banned.add(token.id)


def opening_only(logits: Logits, alive: Sequence[Candidate], tokenizer: Tokenizer) -> Logits:
    """``logits``, a row for each of ``alive``, without the tokens by which a candidate would leave its opening."""
    if not any(candidate.remaining_prefix for candidate in alive):
        return logits
    with torch.inference_mode():
        values = logits.on_host()
        masked = values.clone()
        for row, candidate in enumerate(alive):
            if candidate.remaining_prefix and (allowed := tokenizer.prefix_compatible_ids(candidate.remaining_prefix)):
                ids = torch.frombuffer(allowed, dtype=torch.int64)
                masked[row].fill_(-torch.inf).index_copy_(0, ids, values[row].index_select(0, ids))
        return Logits(masked)
