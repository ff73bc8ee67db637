"""Marks of single cases, for `pytest.mark.parametrize`."""

import pytest


def in_combinations(*values):
    """Returns a case that runs under the marker `combinations` alone: the ordinary run tries others of its kind."""
    return pytest.param(*values, marks=pytest.mark.combinations)
