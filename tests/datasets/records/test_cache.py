"""Caches of decoded samples: the same batches, complete or absent, new for new data."""

import os
import shutil

import numpy as np
import pytest

from datasets.dataset import Dataset
from datasets.records import cache
from tests.small_data import data_config, make_records
from utils.compat import tf
from utils.errors import OptionError, UserError


@pytest.fixture
def records(tmp_path):
    return make_records(tmp_path / "voc", train=3, val=2)


def batches(records, training=True, **values):
    """Returns the first batches of a split."""
    return first_batches(Dataset.open(data_config(records, **values)), training)


def first_batches(dataset, training=True):
    with tf.Graph().as_default(), tf.Session() as session:
        make = dataset.train_batches if training else dataset.eval_batches
        made = make(split="train" if training else "val", batch_size=2, pad_color=(1, 2, 3.0))
        iterator = tf.data.make_initializable_iterator(made)
        following = iterator.get_next()
        session.run(iterator.initializer)
        return [session.run(following) for _ in range(2 if training else 1)]


def caches(folder):
    return [name for name in os.listdir(folder) if name.startswith(".decoded-")]


def assert_equal(actual, expected):
    for one, other in zip(actual, expected):
        for key in other:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("training", [True, False])
def test_batches_are_those_without_a_cache_to_the_bit(records, kind, training):
    expected = batches(records, training)
    dataset = Dataset.open(data_config(records, cache=kind))
    # The second time the cache is read.
    for _ in range(2):
        assert_equal(first_batches(dataset, training), expected)
    assert len(caches(records)) == (kind == "disk")


def test_other_data_get_a_cache_of_their_own(records, tmp_path):
    batches(records, cache="disk")
    (before,) = caches(records)
    other = make_records(tmp_path / "other", train=4, val=1)
    for name in os.listdir(other):
        shutil.copy(os.path.join(other, name), records)
    expected = batches(records)
    assert_equal(batches(records, cache="disk"), expected)
    assert len(caches(records)) == 2
    assert before in caches(records)


def test_a_cache_that_fails_leaves_nothing_and_says_so(records, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write", fail)
    with pytest.raises(UserError, match="cannot be written to .*: No space left on device; leave"):
        batches(records, cache="disk")
    assert not caches(records)
    with pytest.raises(UserError, match="--cache=memory: the decoded images of split train"):
        batches(records, cache="memory")


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_too_little_room_is_noticed_before_anything_is_written(records, kind, monkeypatch):
    usage = shutil.disk_usage(records)
    little = type(usage)(usage.total, usage.total, 0)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: little)
    with pytest.raises(UserError, match=r"take 0.00 GiB, but .* has 0.00 GiB free; leave --cache"):
        batches(records, cache=kind)
    assert not caches(records)


def test_a_cache_lies_where_it_is_told_to(records, tmp_path):
    batches(records, cache="disk", cache_dir=str(tmp_path))
    assert caches(tmp_path)
    assert not caches(records)
    with pytest.raises(OptionError, match="--cache_dir=x .*--cache=disk"):
        data_config(records, cache_dir="x")
