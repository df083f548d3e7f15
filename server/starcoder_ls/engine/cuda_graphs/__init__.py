"""CUDA graphs for short forward passes."""
