"""The names of a registry are known without importing its modules."""

import pytest

from deployment import devices
from utils import variants

pytestmark = pytest.mark.once


def test_names_that_are_read_are_those_that_are_collected():
    assert variants.names(devices) == sorted(variants.collect(devices))
