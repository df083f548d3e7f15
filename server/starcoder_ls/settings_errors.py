"""Messages for invalid settings: each names the key, the value and the reason."""

from __future__ import annotations

from pydantic import ValidationError


def describe_errors(error: ValidationError) -> str:
    """One sentence for each invalid key."""
    sentences = []
    for problem in error.errors():
        key = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            sentences.append(f"there is no setting `{key}`.")
        elif problem["type"] == "missing":
            sentences.append(f"`{key}` is missing.")
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            sentences.append(f"`{key}` cannot be {problem['input']!r}: {reason[:1].lower()}{reason[1:]}.")
    return " ".join(sentences)
