"""From generated text to a suggestion: where it stops and what is shown."""
