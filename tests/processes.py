"""Processes that a test starts."""

import os
import sys


def environment(**variables):
    """Returns the environment of a process that can import what the tests import."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])} | variables
