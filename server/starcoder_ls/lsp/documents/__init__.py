"""What the editor has open, exactly as it told us."""
