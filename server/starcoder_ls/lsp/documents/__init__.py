"""The documents that the editor has open, exactly as it sent them."""
