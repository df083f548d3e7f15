"""Adapts a base model that is served to the user's own code: data, trainable weights, the loop, and what it writes."""
