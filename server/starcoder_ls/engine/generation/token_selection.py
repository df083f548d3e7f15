"""Selects the next token of each candidate of a request.

The first candidate is greedy. Candidates end with different texts, and begin with the request's forced prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from starcoder_ls.engine.generation.sampling import Sampler
from starcoder_ls.engine.logits import Logits
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import Request
from starcoder_ls.text_tokens.candidate import Candidate, SampledToken, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer

MAX_RESAMPLES = 4  # by which a candidate may avoid ending as a copy of another


def build_samplers(request: Request) -> list[Sampler | None]:
    """A sampler for each candidate. None is greedy: the first of several, and all at temperature 0."""
    if request.candidates == 1 and request.sampling.temperature == 0.0:
        return [None]
    samplers = [Sampler(request.sampling, stream) for stream in range(request.candidates)]
    return list(samplers) if request.candidates == 1 else [None, *samplers[1:]]


def select_tokens(
    logits: Logits,
    alive: Sequence[Candidate],
    all_candidates: Sequence[Candidate],
    samplers: Sequence[Sampler | None],
    criteria: StopCriteria,
) -> tuple[list[SampledToken], list[Candidate]]:
    """The next token of each of ``alive``, and the candidate extended by it.

    ``logits``: [len(alive), vocabulary]. Raises whatever the request's stop rule raises.
    """
    with torch.inference_mode():
        greedy = logits.greedy() if None in (samplers[c.index] for c in alive) else []
        used_texts = {candidate.text for candidate in all_candidates if candidate.finish_reason is not None}
        tokens, extended = [], []
        for row, candidate in enumerate(alive):
            sampler = samplers[candidate.index]
            if sampler is None:
                token = greedy[row]
                after = criteria.append_token(candidate, token.id)
            else:
                token, after = _sample_distinct(logits.values[row], candidate, sampler, criteria, used_texts)
            if after.finish_reason is not None:
                used_texts.add(after.text)
            tokens.append(token)
            extended.append(after)
        return tokens, extended


def _sample_distinct(
    logits: torch.Tensor, candidate: Candidate, sampler: Sampler, criteria: StopCriteria, used_texts: set[str]
) -> tuple[SampledToken, Candidate]:
    """A token that does not end ``candidate`` with a used text, if few draws find one.  # logits [vocabulary]

    Two candidates become equal only with the token that ends the second, so only that token is sampled again.
    """
    banned: set[int] = set()
    while True:
        token = sampler.sample(logits, banned)
        after = criteria.append_token(candidate, token.id)
        if after.finish_reason is None or after.text not in used_texts or len(banned) == MAX_RESAMPLES:
            return token, after
        banned.add(token.id)


def mask_forced_prefix(logits: Logits, alive: Sequence[Candidate], tokenizer: Tokenizer) -> Logits:
    """``logits`` without the tokens that contradict what is left of a candidate's forced prefix.

    A row for each of ``alive``: [len(alive), vocabulary] -> the same shape. Raises ModelUnsupported if no token fits.
    """
    remaining = [tokenizer.remaining_prefix(candidate.decoded, candidate.forced_prefix) for candidate in alive]
    if not any(remaining):
        return logits
    values = logits.on_cpu().numpy()
    masked = values.copy()
    for row, data in enumerate(remaining):
        if not data:
            continue
        ids = np.frombuffer(tokenizer.prefix_compatible_ids(data), np.int64)
        if not ids.size:
            raise ModelUnsupported("The model's tokenizer has no tokens for the text before the cursor.")
        masked[row] = -np.inf
        masked[row, ids] = values[row, ids]
    return Logits(torch.from_numpy(masked))
