"""Measures suggestions: text is removed from real files, suggested by the server, and compared with the original."""
