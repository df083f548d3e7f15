"""Text in, text out: which text the model sees, in which order, where a suggestion ends and what of it is shown."""
