"""Image files of any kind -> pixels, decoded as the input pipeline decodes its records.

JPEG and PNG go through the same TensorFlow operation as records do: other decoders round JPEG
differently, by up to 8 levels, and a prediction would no longer be what evaluation measured.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.compat import tf
from utils.errors import BadImageError, reason_of
from utils.imaging import pillow, tensors


class Decoder:
    """Decodes image files; a context manager, usable from several threads.

    Grey becomes three equal channels, CMYK becomes RGB, 16 bits become 8, and transparency is
    dropped.
    """

    def __init__(self):
        graph = tf.Graph()
        with graph.as_default():
            self._content = tf.placeholder(tf.string, [])
            self._pixels = tensors.decode_image(self._content)
        # On the CPU, whatever the network runs on.
        self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        self.close()

    def close(self):
        """Releases the decoder."""
        self._session.close()

    def decode(self, content: bytes, name: str, *, upright: bool = True) -> np.ndarray:
        """Decodes an image file.

        Args:
          content: The bytes.
          name: What messages call it.
          upright: Whether an image that is stored rotated (EXIF) is rotated upright; the input
            pipeline does not.

        Returns:
          uint8 [h, w, 3].

        Raises:
          BadImageError: If it is not an image, or damaged.
        """
        image = pillow.open_image(content, name)
        try:
            if image.format in ("JPEG", "MPO", "PNG"):
                pixels = self._session.run(self._pixels, {self._content: content})
            else:
                pixels = _with_pillow(image, name)
            return pillow.upright(pixels, image) if upright else pixels
        except BadImageError:
            raise
        # Pillow and TensorFlow raise many kinds of errors for damaged files.
        except Exception as error:
            reason = reason_of(error)
            raise BadImageError(f"{name} is truncated or damaged ({reason[:90]})") from error


def _with_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Returns the pixels of a format that records do not have (BMP, TIFF, WebP...)."""
    if image.mode.startswith("I;16"):
        # Pillow would clip values above 255; PNG readers take the upper byte.
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise BadImageError(
            f"{name} has 32-bit values (mode {image.mode}), whose range is unknown; save it as "
            "8- or 16-bit image"
        )
    return np.array(image.convert("RGB"))
