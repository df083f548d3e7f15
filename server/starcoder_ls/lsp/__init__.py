"""How bytes of clients reach their sessions, and how a process that serves them ends."""
