"""The longer sections of the settings, one module each."""
