"""The subcommands of ``symgrad``: modules with ``HELP``, ``configure`` and ``run``."""
