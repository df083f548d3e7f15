"""One request as a sequence of forward passes, and the choice of each token."""
