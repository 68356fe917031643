"""A fingerprint changes with the records and with nothing else."""

import os
import shutil

import pytest

from datasets.records import fingerprint, shards
from tests import small_data


def of_split(folder, split):
    return fingerprint.of_index(shards.index(folder, split))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=6, val=3)


def test_it_does_not_depend_on_the_place_or_the_time(records, tmp_path):
    before = of_split(records, "train")
    assert len(before) == 16
    copy = str(tmp_path / "copy")
    shutil.copytree(records, copy)
    assert of_split(copy, "train") == before
    assert of_split(copy, "val") != before


@pytest.mark.parametrize("change", ["content", "name"])
def test_it_changes_with_a_record_and_with_a_shards_name(records, tmp_path, change):
    copy = str(tmp_path / "copy")
    shutil.copytree(records, copy)
    before = of_split(copy, "train")
    path = os.path.join(copy, next(name for name in os.listdir(copy) if name.startswith("train-")))
    if change == "name":
        os.rename(path, path[: -len(".tfrecord")])
    else:
        with open(path, "r+b") as file:  # the checksum of the last record
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
    assert of_split(copy, "train") != before
