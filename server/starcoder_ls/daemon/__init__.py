"""One resident process for every window of a user: how windows find it, start it, and outlive it."""
