"""Keys and values: per-sequence caches, the prefix cache, and static rows for CUDA graphs."""
