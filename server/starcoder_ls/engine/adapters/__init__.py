"""Adapters resident beside one base model: files, checks, layers, switching, merging."""
