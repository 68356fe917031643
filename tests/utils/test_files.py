"""Files are complete or absent; folders do not outlive an error that leaves them empty."""

import os

import pytest

from utils import files
from utils.errors import UserError


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    files.write_text(str(path), "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(str(path), "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(str(path.parent)) == ["a.txt"]


def test_a_folder_takes_its_place_when_it_is_complete(tmp_path):
    def fail_in(folder):
        os.makedirs(folder)
        raise ValueError("failed")

    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="failed"), files.replacing(str(tmp_path / "set")) as new:
        fail_in(new)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with files.replacing(str(tmp_path / "set")) as new:
        os.makedirs(os.path.join(new, "images"))
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "images"]


def test_a_fixed_temporary_path_overwrites_leftovers(tmp_path):
    path, partial = tmp_path / "a", tmp_path / "a.partial"
    partial.write_bytes(b"left by a killed process")
    with files.replacing(str(path), temporary=str(partial)):
        partial.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_that_belong_together_are_all_written_or_none(tmp_path):
    first, second = tmp_path / "a.png", tmp_path / "sub" / "b.png"
    files.write_together({str(first): b"1", str(second): b"2"})
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    (tmp_path / "file").write_text("")
    blocked = tmp_path / "file" / "c.png"
    with pytest.raises(UserError, match=r"file/c\.png"):
        files.write_together({str(first): b"3", str(blocked): b"4"})
    assert first.read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "file", "sub"]


def fail_in(folder, file=None):
    folder.mkdir(parents=True)
    if file is not None:
        file.write_text("")
    raise ValueError("failed")


def test_new_folders_that_stay_empty_are_removed_after_an_error(tmp_path):
    (tmp_path / "old").mkdir()
    folder = tmp_path / "old" / "new" / "newer"
    with pytest.raises(ValueError, match="failed"), files.removed_on_error(str(folder)):
        fail_in(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_folders_that_hold_a_file_or_existed_before_stay(tmp_path):
    folder = tmp_path / "new" / "newer"
    with pytest.raises(ValueError, match="failed"), files.removed_on_error(str(folder)):
        fail_in(folder, tmp_path / "new" / "result")
    assert (tmp_path / "new" / "result").exists()
    assert not folder.exists()
    with pytest.raises(ValueError, match="failed"), files.removed_on_error(str(tmp_path / "new")):
        raise ValueError("failed")
    assert (tmp_path / "new").exists()


def test_without_an_error_folders_stay(tmp_path):
    folder = tmp_path / "new"
    with files.removed_on_error(str(folder)):
        files.check_writable(str(folder), "--output_dir")
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named_with_its_flag(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--some_dir=.*/file/new: Not a directory"):
        files.check_writable(str(tmp_path / "file" / "new"), "--some_dir")


def test_walking_follows_links_once_and_leaves_out_hidden_names(tmp_path):
    for name in ("data/day2/b.jpg", "elsewhere/a.jpg", "data/.git/x.jpg", "data/__MACOSX/y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "data" / "._c.jpg").touch()
    (tmp_path / "data" / "c.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "data" / "day1").symlink_to(tmp_path / "elsewhere")
    # Earlier in the alphabet than the folder that it leads to, and a circle.
    (tmp_path / "data" / "a").symlink_to(tmp_path / "data" / "day2")
    (tmp_path / "data" / "day2" / "up").symlink_to(tmp_path / "data")
    assert files.walk(str(tmp_path / "data")) == ["c.jpg", "day1/a.jpg", "day2/b.jpg"]
    leave_out = str(tmp_path / "data" / "a")
    assert files.walk(str(tmp_path / "data"), leave_out) == ["c.jpg", "day1/a.jpg"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="gone cannot be read: No such file"):
        files.walk(str(tmp_path / "gone"))
