"""From generated text to a suggestion: where it ends and what of it is shown."""
