"""Tokenizer, candidates and stop criteria. Nothing here imports torch."""
