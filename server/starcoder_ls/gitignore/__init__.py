"""Patterns as in a .gitignore, matched as git matches them. Used for ignore files and for patterns in the settings."""
