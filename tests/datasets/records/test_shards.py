import pathlib
import struct

import numpy as np
import pytest

from datasets.records import shards
from tests.small_data import make_records
from utils.compat import tf
from utils.errors import UserError


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "val-00000-of-00002.tfrecord", [b"one", b"", b"three" * 1000])
    write(tmp_path / "val-00001-of-00002.tfrecord", [b"four"])
    return tmp_path


def test_every_record_is_found_by_its_place(folder):
    index = shards.index(str(folder), "val")
    contents = [index.read(number) for number in range(len(index))]
    assert contents == [b"one", b"", b"three" * 1000, b"four"]
    assert index.name(2).startswith("record 2 of ")
    assert index.name(3).endswith("val-00001-of-00002.tfrecord")
    assert index.name(3).startswith("record 0 of ")


def test_an_empty_shard_holds_no_records(folder):
    (folder / "train-00000-of-00001.tfrecord").write_bytes(b"")
    assert len(shards.index(str(folder), "train")) == 0


def test_a_truncated_shard_is_named_with_the_record(folder):
    path = folder / "val-00000-of-00002.tfrecord"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"val-00000-of-00002\.tfrecord is truncated in record 2"):
        shards.index(str(folder), "val")


def test_a_damaged_length_is_named_with_the_record(folder):
    path = folder / "val-00000-of-00002.tfrecord"
    content = bytearray(path.read_bytes())
    content[19] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="record 1 of .*val-00000-of-00002.* is damaged"):
        shards.index(str(folder), "val")


def test_a_file_that_is_no_tfrecord_file_is_refused(folder):
    (folder / "val-00001-of-00002.tfrecord").write_bytes(b"something else" * 20)
    with pytest.raises(UserError, match="not an .uncompressed. TFRecord file"):
        shards.index(str(folder), "val")


def test_a_missing_shard_is_noticed(folder):
    (folder / "val-00001-of-00002.tfrecord").unlink()
    with pytest.raises(UserError, match="1 of 2 shards like .*val-00000-of-00002"):
        shards.index(str(folder), "val")


def test_shards_of_two_conversions_are_not_mixed(folder):
    write(folder / "val-00000-of-00001.tfrecord", [b"other"])
    with pytest.raises(UserError, match="several conversions .-of-00001, -of-00002"):
        shards.index(str(folder), "val")


def test_a_missing_split_is_answered_with_those_that_are_there(folder):
    write(folder / "val-extra-00000-of-00001.tfrecord", [b"x"])
    with pytest.raises(UserError, match="no records of split train .*the splits there are val, v"):
        shards.index(str(folder), "train")
    assert len(shards.index(str(folder), "val")) == 4


def test_records_without_deeplab_s_file_names_are_found_by_their_split(tmp_path):
    write(tmp_path / "train-a.record", [b"x", b"y"])
    assert len(shards.index(str(tmp_path), "train")) == 2


def test_checksums_of_lengths_are_those_of_tensorflow(folder):
    content = (folder / "val-00000-of-00002.tfrecord").read_bytes()
    stored = struct.unpack("<I", content[8:12])[0]
    assert shards._masked_crc(np.frombuffer(content[:8], np.uint8)[np.newaxis])[0] == stored


def test_shards_hold_as_many_records_as_the_reference_puts_there(tmp_path):
    folder = pathlib.Path(make_records(tmp_path, train=6, val=1))
    names = [f"train-{number:05d}-of-00004.tfrecord" for number in range(4)]
    index = shards.index(str(folder), "train")
    assert [pathlib.Path(path).name for path in index.paths] == names
    assert np.bincount(index.shard, minlength=4).tolist() == [2, 2, 2, 0]
    index = shards.index(str(folder), "val")
    assert np.bincount(index.shard, minlength=4).tolist() == [1, 0, 0, 0]
