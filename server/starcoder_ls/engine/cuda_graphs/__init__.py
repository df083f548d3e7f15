"""CUDA graphs of short forward passes: which are captured, and how they are replayed."""
