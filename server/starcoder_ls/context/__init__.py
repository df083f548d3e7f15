"""Text from other files, and what never reaches a prompt: ignore rules, secret-looking names and strings."""
