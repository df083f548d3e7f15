"""Searches a text for the ends of matches, mixes what followed them into logits, and selects the likeliest token.

The definition is ``generation.ngram_mixing``. Decides that a text is searched from its end in one pass for matches of
all lengths, and that the vocabulary is read by vectors: for the sum, for the maximum.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.elementwise import exponential
from starcoder_ls.engine.runner.kernels.jit import jit
from starcoder_ls.engine.runner.kernels.reductions import has_pair, vector_max, vector_sum
from starcoder_ls.engine.runner.kernels.tiles import VECTOR_LANES, as_pointer

UNKNOWN, NO_TOKEN = -2, -1
"""In place of the token at an offset: not looked up yet; there is none."""

BLOCK_CHARS = 64
"""Characters that are compared at once with the last two of a match, before they are looked at one by one."""


@jit
def find_matches(text, tail, lengths, first, token_ids, ends, counts, unknown):
    """Write the last ends of matches of the end of ``tail``, of each length from ``lengths[first]`` on, to ``ends``.

    ``text`` and ``tail`` uint32: characters; ``lengths`` int64 [levels], ascending; ``token_ids`` int64 [characters];
    ``ends`` int64 [levels, most occurrences]; ``counts`` int64 [levels]: their numbers; ``unknown`` int64 [levels *
    most occurrences]: offsets whose token is unknown. Returns the number of these. The end of the text is no end.
    """
    counts[:] = 0
    limit, longest, unknown_count = ends.shape[1], len(tail), 0
    if longest > lengths[-1]:
        longest = lengths[-1]
    if longest < lengths[first]:
        return 0
    last, block_end = tail[len(tail) - 1], len(text) - 1
    while block_end > 0:
        begin, block_last = max(block_end - BLOCK_CHARS, 0), block_end
        block_end = begin
        is_whole = begin > 0 and block_last - begin == BLOCK_CHARS and lengths[first] > 1
        if is_whole and not has_pair(text.ctypes.data + 4 * begin, BLOCK_CHARS, tail[len(tail) - 2], last):
            continue
        for end in range(block_last, begin, -1):
            if text[end - 1] != last:
                continue
            matched, most = 1, min(end, longest)
            while matched < most and text[end - 1 - matched] == tail[len(tail) - 1 - matched]:
                matched += 1
            is_used = False
            for level in range(first, len(lengths)):
                if lengths[level] > matched:
                    break
                if counts[level] < limit:
                    ends[level, counts[level]] = end
                    counts[level] += 1
                    is_used = True
            if is_used and token_ids[end] == UNKNOWN:
                unknown[unknown_count] = end
                unknown_count += 1
    return unknown_count


@jit
def _add_share(ids, shares, used, id_, share):
    """Add ``share`` to that of ``id_`` among the first ``used`` of ``ids``, or append it. Returns the new number."""
    for n in range(used):
        if ids[n] == id_:
            shares[n] += share
            return used
    ids[used], shares[used] = id_, share
    return used + 1


@jit
def add_levels(token_ids, ends, counts, first, strengths, ids, shares, state):
    """Mix the tokens that followed the matches into ``shares``, one level after the other.

    ``strengths`` float64 [levels, most count + 1, 2]: by number of followers (the last for more) and whether they
    differ. ``ids`` int64 and ``shares`` float64 [levels * most occurrences * 2]: the tokens so far. ``state`` float64
    [2]: their number, and the share of the model. Returns the first level that has no followers.
    """
    used, model_share = int(state[0]), state[1]
    for level in range(first, len(counts)):
        total, is_many, only = 0, 0, NO_TOKEN
        for n in range(counts[level]):
            id_ = token_ids[ends[level, n]]
            if id_ != NO_TOKEN:
                is_many = 1 if total > 0 and id_ != only else is_many
                only = id_
                total += 1
        if total == 0:
            break
        strength = strengths[level, min(total, strengths.shape[1] - 1), is_many]
        if strength > 0.0:
            model_share *= 1.0 - strength
            for n in range(used):
                shares[n] *= 1.0 - strength
            for n in range(counts[level]):
                id_ = token_ids[ends[level, n]]
                if id_ != NO_TOKEN:
                    used = _add_share(ids, shares, used, id_, strength / total)
    else:
        level = len(counts)
    state[0], state[1] = used, model_share
    return level


@jit
def log_total(logits, scratch):
    """Return the logarithm of the sum of the exponentials of ``logits`` [vocabulary]; ``scratch`` is as long."""
    whole = len(logits) // VECTOR_LANES * VECTOR_LANES
    largest = logits[0]
    if whole > 0:
        largest = vector_max(logits.ctypes.data, whole)
    for n in range(whole, len(logits)):
        largest = max(largest, logits[n])
    for n in range(len(logits)):
        scratch[n] = exponential(logits[n] - largest)
    total = vector_sum(scratch.ctypes.data, whole)
    for n in range(whole, len(logits)):
        total += scratch[n]
    return largest + math.log(total)


@jit
def first_largest(logits):
    """Return the index of the largest of ``logits`` [vocabulary], the first of equal ones."""
    whole = len(logits) // VECTOR_LANES * VECTOR_LANES
    largest = vector_max(logits.ctypes.data, whole) if whole > 0 else logits[0]
    for n in range(whole, len(logits)):
        largest = max(largest, logits[n])
    for n in range(len(logits)):
        if logits[n] == largest:
            return n
    return 0


@jit
def mix(address, vocabulary_size, ids, shares, state, scratch, selected):
    """Mix ``shares`` into the float32 logits at ``address`` and select the likeliest token, the first of equal ones.

    As in ``NgramStrengths.mix`` only the logits of tokens with a share change. ``selected`` float64 [2] receives the
    token and its log probability.
    """
    logits = numba.carray(as_pointer(address), vocabulary_size, np.float32)
    used, total = int(state[0]), log_total(logits, scratch) - math.log(state[1])
    for n in range(used):
        own, share = np.float64(logits[ids[n]]), math.log(shares[n]) + total
        logits[ids[n]] = max(own, share) + math.log1p(math.exp(-abs(own - share)))
    best = first_largest(logits)
    selected[0], selected[1] = best, logits[best] - total
