"""One connection: the parts that serve one client, and the supervisor of the engine that all clients share."""
