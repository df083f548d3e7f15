"""Code shared by several commands: engines, positions in files, settings files, log and metrics files."""
