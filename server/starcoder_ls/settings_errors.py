"""What is wrong with settings, in sentences that name the key, the value and the reason.

Decides words alone. Refuses to know which settings there are.
"""

from __future__ import annotations

from pydantic import ValidationError


def sentences(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(step) for step in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"there is no setting `{key}`.")
        elif problem["type"] == "missing":
            lines.append(f"`{key}` is missing.")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"`{key}` cannot be {problem['input']!r}: {said[:1].lower()}{said[1:]}.")
    return " ".join(lines)
