"""What a process that is killed between two files of a checkpoint leaves behind."""

import os
from unittest import mock

import pytest

from core.checkpoints import files


def test_a_deletion_that_is_broken_off_leaves_nothing_that_stays(tmp_path):
    for end in ("index", "data-00000-of-00001"):
        (tmp_path / f"model.ckpt-1.{end}").write_text("")
    removed = []

    def remove_one(path):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        os.unlink(path)

    with mock.patch.object(os, "remove", remove_one), pytest.raises(KeyboardInterrupt):
        files.delete(str(tmp_path / "model.ckpt-1"))
    assert len(os.listdir(tmp_path)) == 1
    files.clean(str(tmp_path))
    assert not os.listdir(tmp_path)
