"""Notebooks as text: their cells, and how the cells around a cursor are shown to a model. No protocol, no model."""
