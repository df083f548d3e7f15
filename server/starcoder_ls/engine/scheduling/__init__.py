"""Which request runs next, and which requests share a forward pass."""
