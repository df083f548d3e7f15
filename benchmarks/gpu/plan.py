"""Which part of the GPU benchmark runs when: by value across the shapes, so that a run that is cut short says most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """``limit_s`` is the time after which a part is given up."""

    name: str
    limit_s: float = 60.0


FIRST = (Part("graphs"), Part("decode"), Part("prefill"), Part("cancel"), Part("verify"))
"""Of every shape, before anything else."""

REQUESTS = (Part("adapters"), Part("editors"), Part("steady", 90.0), Part("speculation"), Part("attention"))
DECISIVE = (Part("int4", 90.0), Part("fused", 150.0))
"""Of the first shape only: what decides the recommended quantization, and whether `model.compile` is worth its time."""

PEERS = (Part("generate"),)


def ordered(shapes: Sequence[str], names: Sequence[str] = ()) -> Iterator[tuple[str, Part]]:
    """Yield all parts of ``shapes``, the most important shape first; only those in ``names``, if there are any."""
    first, others = shapes[:1], shapes[1:]
    stages = (
        (shapes, FIRST),
        (first, REQUESTS),
        (first, DECISIVE),
        (first, PEERS),
        (others, REQUESTS),
        (others, PEERS),
    )
    for stage_shapes, parts in stages:
        for shape in stage_shapes:
            yield from ((shape, part) for part in parts if not names or part.name in names)
