"""Helpers shared by several commands: engines, source positions, settings files."""
