"""What every test gets: an empty default graph."""

import sys
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def _empty_default_graph():
    # Only where TensorFlow is loaded already: a test that does without it stays fast.
    compat = sys.modules.get("utils.compat")
    if compat is not None:
        compat.tf.reset_default_graph()


@pytest.fixture(scope="module")
def shallow_mobilenet():
    """MobileNetV2 with six blocks instead of seventeen, for what does not depend on its depth.

    Most of the time of a small network goes into its graph. Other processes have all blocks.
    """
    from core.backbones import mobilenet_v2

    with mock.patch.object(mobilenet_v2, "BLOCKS", mobilenet_v2.BLOCKS[:6]):
        yield
