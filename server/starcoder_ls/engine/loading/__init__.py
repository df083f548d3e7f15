"""From a model name to a checked checkpoint and weights in memory."""
