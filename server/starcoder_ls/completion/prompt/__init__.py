"""From a cursor to the prompt: which text the model reads, in which order."""
