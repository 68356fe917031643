import numpy as np
import pytest
from PIL import Image

from datasets import image_files
from tests.small_data import pixels, save_image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.jpg"
    save_image(path, pixels(0, 20, 30))
    return path


def test_image_files_are_kept_as_they_are(image):
    found = image_files.read_image(str(image))
    assert found == image_files.ImageFile(image.read_bytes(), "jpeg", 20, 30)


def test_the_format_is_that_of_the_content_not_of_the_name(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).save(tmp_path / "image.jpg")
    (tmp_path / "image.jpg").rename(path)
    assert image_files.read_image(str(path)).format == "jpeg"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_images_of_other_modes_that_decoders_read_right_are_kept(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).convert(mode).save(path)
    assert image_files.read_image(str(path)).content == path.read_bytes()


def refused_image(path):
    with pytest.raises(image_files.BadFileError) as error:
        image_files.read_image(str(path))
    return str(error.value)


@pytest.mark.parametrize("kept", [0.8, 0.9, 0.999])
def test_truncated_images_are_named(image, kept):
    content = image.read_bytes()
    image.write_bytes(content[: int(len(content) * kept)])
    assert refused_image(image) == f"{image} is truncated"
    png = image.with_suffix(".png")
    Image.fromarray(pixels(0, 20, 30)).save(png)
    content = png.read_bytes()
    png.write_bytes(content[: int(len(content) * kept)])
    assert refused_image(png) == f"{png} is truncated"


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(image):
    content = image.read_bytes()
    thumbnail = b"Exif\0\0" + content
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    image.write_bytes(content[:2] + segment + content[2:-40])
    assert refused_image(image) == f"{image} is truncated"
    image.write_bytes(content[:2] + segment + content[2:])
    assert image_files.read_image(str(image)).height == 20


def test_damaged_png_images_are_named(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert refused_image(path).startswith(f"{path} is damaged")


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(b"")
    assert refused_image(path) == f"{path} is empty"
    path.write_text("text")
    assert refused_image(path) == f"{path} is no image that can be read"
    Image.fromarray(pixels(0, 20, 30)).save(path, "BMP")
    assert refused_image(path) == f"{path} is a BMP file; save it as JPEG or PNG"
    path.unlink()
    assert refused_image(path) == f"{path} cannot be read: No such file or directory"


def test_images_that_decoders_would_show_otherwise_are_named(tmp_path):
    path = tmp_path / "image.jpg"
    picture = Image.fromarray(pixels(0, 20, 30))
    picture.convert("CMYK").save(path)
    assert refused_image(path) == f"{path} is a CMYK image; save it as 8-bit RGB"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    assert refused_image(path).startswith(f"{path} is shown turned (EXIF orientation 6)")
    path = tmp_path / "image.png"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(path)
    assert refused_image(path) == f"{path} is a 16-bit image; save it as 8-bit RGB"
