"""Folders that are gone again if nothing came of them."""

import pytest

from utils import folders
from utils.errors import UserError


def fail_in(folder, file=None):
    folder.mkdir(parents=True)
    if file is not None:
        file.write_text("")
    raise ValueError("failed")


def test_new_folders_that_stay_empty_are_removed_after_an_error(tmp_path):
    (tmp_path / "old").mkdir()
    folder = tmp_path / "old" / "new" / "newer"
    with pytest.raises(ValueError, match="failed"), folders.gone_if_refused(str(folder)):
        fail_in(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_what_holds_a_file_or_was_there_stays(tmp_path):
    folder = tmp_path / "new" / "newer"
    with pytest.raises(ValueError, match="failed"), folders.gone_if_refused(str(folder)):
        fail_in(folder, tmp_path / "new" / "result")
    assert (tmp_path / "new" / "result").exists()
    assert not folder.exists()
    with pytest.raises(ValueError, match="failed"), folders.gone_if_refused(str(tmp_path / "new")):
        raise ValueError("failed")
    assert (tmp_path / "new").exists()


def test_without_an_error_folders_stay(tmp_path):
    folder = tmp_path / "new"
    with folders.gone_if_refused(str(folder)):
        folders.check_writable(str(folder), "--output_dir")
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named_with_its_flag(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to --some_dir=.*/file/new: Not a directory"):
        folders.check_writable(str(tmp_path / "file" / "new"), "--some_dir")
