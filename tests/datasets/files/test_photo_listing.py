"""What stands for which images, and what their results are called."""

import io
import os

import pytest

from datasets.files import photo_listing
from utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.jpg",
        "b.PNG",
        "notes.md",
        "sub/a.jpg",
        "sub/c.webp",
        ".hidden.jpg",
        "out/x.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def _names(*inputs, **settings):
    return [
        photo.name for photo in photo_listing.find([str(value) for value in inputs], **settings)
    ]


def test_a_folder_is_searched_and_names_keep_its_subfolders(folder):
    found = _names(folder, leave_out=str(folder / "out"))
    assert found == ["a", "b", os.path.join("sub", "a"), os.path.join("sub", "c")]


def test_an_image_a_pattern_and_a_list_are_inputs(folder):
    (folder / "list.txt").write_text(f"a.jpg\n\n{folder}/sub/c.webp\nmissing.jpg\n")
    assert _names(folder / "b.PNG") == ["b"]
    assert _names(folder / "sub" / "*") == ["a", "c"]
    photos = photo_listing.find([str(folder / "list.txt")])
    assert [photo.name for photo in photos] == ["a", "c", "missing"]
    assert photos[0].path == str(folder / "a.jpg")


def test_paths_of_a_list_count_from_the_list_first(folder, monkeypatch):
    (folder / "list.txt").write_text("a.jpg\nsub/c.webp\n")
    other = folder / "other"
    (other / "sub").mkdir(parents=True)
    (other / "a.jpg").write_bytes(b"")
    (other / "here.jpg").write_bytes(b"")
    monkeypatch.chdir(other)
    found = photo_listing.find([str(folder / "list.txt")])
    assert [photo.path for photo in found] == [str(folder / "a.jpg"), str(folder / "sub/c.webp")]
    (folder / "list.txt").write_text("here.jpg\n")
    (photo,) = photo_listing.find([str(folder / "list.txt")])
    assert photo.path == "here.jpg"


def test_paths_come_from_standard_input(folder):
    assert _names("-", stream=io.StringIO(f"{folder}/a.jpg\n{folder}/b.PNG\n")) == ["a", "b"]


def test_a_file_named_twice_is_taken_once(folder):
    assert _names(folder / "a.jpg", folder / "sub" / ".." / "a.jpg") == ["a"]


def test_images_of_one_name_get_names_that_differ(folder):
    assert _names(folder / "a.jpg", folder / "sub" / "a.jpg") == [f"{folder.name}_a", "sub_a"]
    (folder / "a.png").write_bytes(b"")
    assert _names(folder / "a.jpg", folder / "a.png") == ["a_jpg", "a_png"]
    names = _names(folder / "a.jpg", folder / "a.png", folder / "sub" / "a.jpg")
    assert len(set(names)) == 3
    assert names[2].endswith("_sub_a_jpg")


def test_a_longer_name_never_meets_another_photo(folder):
    (folder / "sub_a.jpg").write_bytes(b"")
    names = _names(folder / "a.jpg", folder / "sub" / "a.jpg", folder / "sub_a.jpg")
    assert len(set(names)) == 3
    assert names[2] == "sub_a"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere", "nowhere does not exist"),
        ("*.bmp", "matches no image"),
        ("empty", "holds no images"),
        ("empty.txt", "names no images"),
        ("-", "standard input names no images"),
    ],
)
def test_an_input_without_images_is_a_sentence(folder, value, message):
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("\n")
    path = value if value == "-" else str(folder / value)
    with pytest.raises(UserError, match=message):
        photo_listing.find([path], stream=io.StringIO(""))
