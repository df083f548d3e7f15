"""A gateway between many developers and replicas of a serving engine: who may ask what, and which replica answers."""
