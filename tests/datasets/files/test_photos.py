"""Photos are read from their files, upright; what cannot be read is a sentence."""

import pytest
from PIL import Image, ImageOps

from datasets.files import photos
from tests.small_data import pixels
from utils.errors import BadImageError


def test_a_photo_is_read_upright(tmp_path):
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(4, 20, 31)).save(path, exif=exif.tobytes())
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    assert photos.read(str(path)).shape == (upright.height, upright.width, 3) == (31, 20, 3)


def test_what_is_no_image_or_not_there_is_a_sentence(tmp_path):
    path = tmp_path / "photo.jpg"
    with pytest.raises(BadImageError, match="photo.jpg cannot be read: No such file"):
        photos.read(str(path))
    path.write_bytes(b"")
    with pytest.raises(BadImageError, match="photo.jpg is empty"):
        photos.read(str(path))
    path.write_text("not an image")
    with pytest.raises(BadImageError, match="photo.jpg is not a readable image"):
        photos.read(str(path))
