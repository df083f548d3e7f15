"""The command line interface: arguments and help texts. The work is in ``commands``."""
