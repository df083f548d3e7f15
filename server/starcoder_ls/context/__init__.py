"""Text from other files for prompts, and what never reaches a prompt: ignored files and secret-looking strings."""
