"""CPU kernels of the model, compiled by numba on the user's machine for its processor. README.md describes them."""
