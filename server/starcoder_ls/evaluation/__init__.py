"""How good suggestions are, measured against text that really stood there."""
