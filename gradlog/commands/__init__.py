"""Commands: the command `gradlog`, a file for each verb.

Directories come in; text, figures and files go out.
"""
