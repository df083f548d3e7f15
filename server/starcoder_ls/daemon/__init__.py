"""The daemon, one process with the model for all windows of a user, and the processes that connect to it."""
