"""Arithmetic of the model for CPUs, compiled on the user's machine for the processor that is there, by numba."""
