"""``generation.Engine`` over HTTP: the model runs in a serving engine on another machine."""
