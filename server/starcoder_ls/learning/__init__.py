"""From source code to weights: corpora, vocabularies, fill-in-the-middle examples, training."""
