"""What happened to suggestions, in a SQLite file on this machine."""
