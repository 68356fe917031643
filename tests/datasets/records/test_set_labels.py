"""Counts of labels of several classes per pixel."""

import numpy as np
import pytest

from datasets.records.labels import of
from tests.small_data import random_sets
from utils.classes import MULTILABEL, ClassSet, default_names
from utils.imaging import label_bits


def stored(count):
    return of(ClassSet(default_names(count), task=MULTILABEL))


@pytest.mark.parametrize("count", [3, 20, 63])
def test_pixels_are_counted(count):
    members, ignored = random_sets(count)
    labels = stored(count)
    values = labels.read(label_bits.encode(members, ignored), "it")
    pixels, counted = labels.count(values)
    assert counted == (~ignored).sum()
    np.testing.assert_array_equal(pixels[:count], members[~ignored].sum(axis=0))
    assert pixels[label_bits.IGNORED] == ignored.sum()
    flat = members[~ignored].astype(int)
    np.testing.assert_array_equal(labels.together(values), flat.T @ flat)
    assert labels.unknown(values) == []


def test_classes_that_do_not_exist_are_named():
    members, ignored = random_sets(7)
    values = stored(7).read(label_bits.encode(members, ignored), "it")
    assert stored(5).unknown(values) == [5, 6]
