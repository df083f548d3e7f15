"""The protocol: transports, framing, JSON-RPC, the client's documents, and the end of the process."""
