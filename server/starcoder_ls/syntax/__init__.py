"""What the text around a cursor is, in plain values: by tree-sitter where there is a grammar, else by plain rules."""
