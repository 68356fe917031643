"""What every test gets: an empty default graph."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _empty_default_graph():
    # Only where TensorFlow is loaded already: a test that does without it stays fast.
    compat = sys.modules.get("utils.compat")
    if compat is not None:
        compat.tf.reset_default_graph()
