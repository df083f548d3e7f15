"""The console of a command's own remarks: standard error, since standard output belongs to its results."""

from rich.console import Console

stderr = Console(stderr=True, highlight=False, markup=False)
