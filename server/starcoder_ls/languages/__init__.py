"""Facts about programming languages, in one table."""
