"""Image files are kept, converted or refused by their content."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.small_data import pixels, save_image
from utils.errors import BadImageError
from utils.imaging import images, jpeg


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.jpg"
    save_image(path, pixels(0, 20, 30))
    return path


def standard(path):
    return images.standard(path.read_bytes(), str(path))


def test_image_files_are_kept_as_they_are(image):
    found = standard(image)
    assert found == images.ImageFile(image.read_bytes(), "jpeg", 20, 30)


def test_the_format_is_that_of_the_content_not_of_the_name(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).save(tmp_path / "image.jpg")
    (tmp_path / "image.jpg").rename(path)
    assert standard(path).format == "jpeg"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_images_of_other_modes_that_decoders_read_right_are_kept(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).convert(mode).save(path)
    assert standard(path).content == path.read_bytes()


def refused_image(path):
    with pytest.raises(BadImageError) as error:
        standard(path)
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
    assert standard(image).height == 20


def test_damaged_png_images_are_named(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(pixels(0, 20, 30)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert refused_image(path).startswith(f"{path} is damaged")


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_text("text")
    assert refused_image(path) == f"{path} is not a readable image"
    Image.fromarray(pixels(0, 20, 30)).save(path, "GIF")
    assert refused_image(path) == f"{path} is a GIF file; save it as JPEG or PNG"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_images_are_stored_upright_without_loss(tmp_path, orientation):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels(0, 20, 30)).save(path, exif=exif)
    found = standard(path)
    assert (found.format, found.change) == ("png", "turned upright (EXIF orientation)")
    stored = Image.open(io.BytesIO(found.content))
    assert stored.getexif().get(0x0112) is None
    raw = np.asarray(Image.open(path))
    # As the EXIF standard defines the eight orientations.
    shown = raw if orientation in (1, 2, 3, 4) else raw.transpose(1, 0, 2)
    vertical, horizontal = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    shown = shown[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    np.testing.assert_array_equal(np.asarray(stored), shown)
    assert (found.height, found.width) == shown.shape[:2]


def test_cmyk_images_are_converted_to_rgb(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(pixels(0, 20, 30)).convert("CMYK").save(path)
    found = standard(path)
    assert (found.format, found.change) == ("png", "CMYK to RGB")
    stored = np.asarray(Image.open(io.BytesIO(found.content))).astype(int)
    assert np.abs(stored - pixels(0, 20, 30)).mean() < 4


def png_of_16_bits(path, color_type):
    width = {0: 2, 2: 6}[color_type] * 3
    header = struct.pack(">IIBBBBB", 3, 2, 16, color_type, 0, 0, 0)
    data = zlib.compress(bytes([0, *range(width)]) * 2)
    chunks = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("color_type", [0, 2])
def test_images_of_16_bits_are_refused(tmp_path, color_type):
    path = tmp_path / "image.png"
    png_of_16_bits(path, color_type)
    assert refused_image(path).startswith(f"{path} is a 16-bit image; scale its values to 0..255")


def test_transparent_pixels_are_refused(tmp_path):
    path = tmp_path / "image.png"
    picture = Image.fromarray(pixels(0, 20, 30)).convert("RGBA")
    picture.putpixel((3, 4), (1, 2, 3, 0))
    picture.save(path)
    assert refused_image(path).startswith(f"{path} has transparent pixels; save it as RGB on")
    picture = Image.fromarray(pixels(0, 20, 30)).quantize(8)
    picture.save(path, transparency=picture.getpixel((0, 0)))
    assert "has transparent pixels" in refused_image(path)


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_headers_are_read_as_pillow_reads_them(tmp_path, mode, settings):
    path = tmp_path / "image.jpg"
    Image.fromarray(pixels(0, 21, 34)).convert(mode).save(path, **settings)
    content = path.read_bytes()
    found = jpeg.plain_header(content)
    scan = jpeg.start_of_scan(content)
    assert found == (None if mode == "CMYK" else (21, 34, scan))
    read = standard(path)
    assert (read.height, read.width) == (21, 34)


def test_what_is_no_plain_jpeg_file_is_left_to_pillow(tmp_path, image):
    content = image.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(pixels(0, 20, 30)).save(tmp_path / "exif.jpg", exif=exif)
    assert jpeg.plain_header((tmp_path / "exif.jpg").read_bytes()) is None
    assert standard(tmp_path / "exif.jpg").format == "jpeg"
    for end in (0, 1, 2, 3, 20, 160):
        assert jpeg.plain_header(content[:end]) is None
    assert jpeg.plain_header(b"\xff\xd8" + content) is None


def test_several_pictures_in_one_file_are_one_jpeg_image(tmp_path):
    path = tmp_path / "image.jpg"
    first, second = (Image.fromarray(pixels(seed, 20, 30)) for seed in (0, 1))
    exif = Image.Exif()
    exif[0x0112] = 1
    try:
        first.save(path, "MPO", save_all=True, append_images=[second], exif=exif)
    except (KeyError, OSError):
        pytest.skip("this Pillow cannot write such files")
    found = standard(path)
    assert (found.format, found.content) == ("jpeg", path.read_bytes())
