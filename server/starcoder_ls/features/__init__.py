"""What the server can do: one file per LSP method, named after the method. ``app.py`` maps methods to them."""
