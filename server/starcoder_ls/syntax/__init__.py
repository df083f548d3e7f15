"""The syntax around a cursor: by tree-sitter where a grammar is installed, else by the bracket scanner."""
