"""What one client is to us: its requests, its documents, its settings, and its view of the shared engine."""
