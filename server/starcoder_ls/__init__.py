"""A language server that keeps a StarCoder model and its adapters resident and completes code with them."""

__version__ = "0.1.0"
