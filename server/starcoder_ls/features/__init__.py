"""What the server can do: one file per LSP method, named after it. The table of them is ``app.py``."""
