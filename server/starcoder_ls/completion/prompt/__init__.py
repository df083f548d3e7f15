"""From a cursor to the parts of a fill-in-the-middle prompt."""
