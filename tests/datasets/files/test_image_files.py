import pytest

from datasets.files import image_files
from datasets.files.defects import UNREADABLE, BadFileError
from tests.small_data import pixels, save_image


def refused_image(path):
    with pytest.raises(BadFileError) as error:
        image_files.read_image(str(path))
    assert error.value.kind == UNREADABLE
    return str(error.value)


def test_an_image_is_read_from_its_file(tmp_path):
    path = tmp_path / "image.jpg"
    save_image(path, pixels(0, 20, 30))
    found = image_files.read_image(str(path))
    assert (found.content, found.height, found.width) == (path.read_bytes(), 20, 30)


def test_files_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "image.jpg"
    assert refused_image(path) == f"{path} cannot be read: No such file or directory"
    path.write_bytes(b"")
    assert refused_image(path) == f"{path} is empty"
    path.write_text("text")
    assert refused_image(path) == f"{path} is not a readable image"
