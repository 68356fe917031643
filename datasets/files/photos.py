"""Image files of any kind -> pixels, decoded as the training pipeline decodes its records.

JPEG and PNG go through the same TensorFlow operation as records do: other decoders round JPEG
differently, by up to 8 levels, and a prediction would no longer be what evaluation measured.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from datasets.files import image_files
from datasets.files.defects import BadFileError
from datasets.records import tfrecord
from utils.compat import tf
from utils.errors import reason_of

_ORIENTATION = 0x0112
# EXIF orientation -> quarter turns to the left, then whether to mirror, so that it stands upright.
_UPRIGHT = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


def read(path: str) -> np.ndarray:
    """Returns the pixels of one image file; see `PhotoReader.read`."""
    with PhotoReader() as reader:
        return reader.read(path)


class PhotoReader:
    """Decodes image files; a context manager, usable from several threads.

    Photos that are stored turned (EXIF) are turned upright, as viewers show them. Grey becomes
    three equal channels, CMYK becomes RGB, 16 bits become 8, and transparency is left out.
    """

    def __init__(self):
        graph = tf.Graph()
        with graph.as_default():
            self._content = tf.placeholder(tf.string, [])
            self._pixels = tfrecord.decode_image(self._content)
        # Decoding is for the processor, whatever the network runs on.
        self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        self.close()

    def close(self):
        """Releases the decoder."""
        self._session.close()

    def read(self, path: str) -> np.ndarray:
        """Reads an image file.

        Returns:
          uint8 [h, w, 3].

        Raises:
          BadFileError: If it cannot be read or decoded; the message begins with the path.
        """
        return self.decode(image_files.read(path), path)

    def decode(self, content: bytes, name: str, *, upright: bool = True) -> np.ndarray:
        """Decodes the content of an image file.

        Args:
          content: The bytes.
          name: What messages call it.
          upright: Whether a photo that is stored turned is turned; the input pipeline does not.

        Returns:
          uint8 [h, w, 3].

        Raises:
          BadFileError: If it is no image, or damaged.
        """
        image = image_files.open_image(name, content)
        try:
            if image.format in ("JPEG", "MPO", "PNG"):
                pixels = self._session.run(self._pixels, {self._content: content})
            else:
                pixels = _with_pillow(image, name)
            orientation = image.getexif().get(_ORIENTATION, 1)
        except BadFileError:
            raise
        # Pillow and TensorFlow raise many kinds of errors for damaged files.
        except Exception as error:
            reason = reason_of(error)
            raise BadFileError(f"{name} is truncated or damaged ({reason[:90]})") from error
        return _turned(pixels, orientation) if upright else pixels


def _with_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Returns the pixels of a format that records do not have (BMP, TIFF, WebP...)."""
    if image.mode.startswith("I;16"):
        # Pillow would cut values above 255 off; PNG readers take the upper byte.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise BadFileError(
            f"{name} has 32-bit values (mode {image.mode}), whose range is not known; save it as "
            "8- or 16-bit image"
        )
    return np.array(image.convert("RGB"))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turns, mirrored = _UPRIGHT.get(orientation, (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
