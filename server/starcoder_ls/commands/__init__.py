"""One file per sub-command; nothing here is imported before its command runs."""
