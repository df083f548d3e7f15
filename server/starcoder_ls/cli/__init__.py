"""Command-line arguments: one module per command group; the commands themselves are in ``commands``."""
