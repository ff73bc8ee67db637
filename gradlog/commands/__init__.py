"""Commands: the command `gradlog`, one file per subcommand.

Directories come in; text, figures and files come out.
"""
