import tarfile
import zipfile

import pytest

from datasets.files import archives
from utils.errors import UserError


@pytest.fixture(params=["folder", "tar", "zip", "stored zip"])
def root(tmp_path, request):
    """The same three files in a folder or an archive."""
    folder = tmp_path / "made"
    (folder / "a" / "b").mkdir(parents=True)
    for name in ("a/b/1.txt", "a/2.txt", "3.txt"):
        (folder / name).write_text(f"text of {name}\n")
    if request.param == "folder":
        return str(folder)
    if request.param == "tar":
        with tarfile.open(str(tmp_path / "x.tar"), "w") as archive:
            archive.add(str(folder), ".")
        return str(tmp_path / "x.tar")
    method = zipfile.ZIP_STORED if request.param == "stored zip" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(str(tmp_path / "x.zip"), "w", method) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(str(path), str(path.relative_to(folder)))
    return str(tmp_path / "x.zip")


def test_an_archive_is_like_a_folder(root):
    assert archives.is_folder(root)
    assert not archives.is_file(root + "/a")
    assert archives.is_folder(root + "/a/b/")
    assert archives.is_file(f"{root}/a/../3.txt")
    assert archives.names(root) == ["3.txt", "a"]
    assert archives.names(root + "/a") == ["2.txt", "b"]
    assert archives.walk(root) == ["3.txt", "a/2.txt", "a/b/1.txt"]
    assert archives.walk(root + "/a") == ["2.txt", "b/1.txt"]
    assert archives.read(root + "/a/b/1.txt") == b"text of a/b/1.txt\n"
    assert archives.read_lines(root + "/a/2.txt") == ["text of a/2.txt"]
    with pytest.raises(OSError, match="No such file"):
        archives.read(root + "/a/9.txt")


def test_a_damaged_file_of_a_zip_is_an_error(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("1.txt", "something")
    path.write_bytes(path.read_bytes().replace(b"something", b"some?hing", 1))
    with pytest.raises(OSError, match="Damaged in the archive"):
        archives.read(f"{path}/1.txt")


def test_archives_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match="x.tar.gz is compressed as a whole and must be unpacked"):
        archives.is_folder(str(tmp_path / "x.tar.gz"))
    (tmp_path / "x.zip").write_bytes(b"x")
    with pytest.raises(UserError, match="x.zip cannot be read as an archive .*; fetch it again"):
        archives.read(str(tmp_path / "x.zip" / "a"))
