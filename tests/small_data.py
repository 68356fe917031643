"""Small data sets for tests, written to a folder."""

import io

import numpy as np
from PIL import Image

from options.config import Config
from options.data import DATA_RECORDS
from tests.converting import convert
from utils import colormap

NUM_CLASSES = 4


def pixels(seed, height, width):
    """Returns a smooth image, uint8 [height, width, 3]."""
    coarse = np.random.RandomState(seed).randint(0, 256, [3, 4, 3]).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.BILINEAR))


def labels(seed, height, width, num_classes=NUM_CLASSES):
    """Returns a mask of all classes and 255, uint8 [height, width]."""
    values = [*range(num_classes), 255]
    coarse = np.random.RandomState(seed).choice(values, [4, 4]).astype(np.uint8)
    coarse.flat[: len(values)] = values
    return np.array(Image.fromarray(coarse).resize((width, height), Image.NEAREST))


def random_sets(count, height=9, width=6):
    """Returns the classes of each pixel, bool [height, width, count], and which are ignored."""
    random = np.random.RandomState(count)
    members = random.rand(height, width, count) < 0.5
    ignored = random.rand(height, width) < 0.3
    # The highest class and the ignored bit must not meet.
    members[0, 0], ignored[0, 0] = True, False
    members[0, 1], ignored[0, 1] = False, False
    return members, ignored


def png(array):
    """Returns an image or mask as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


def save_image(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, quality=90)


def save_mask(path, array, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(array)
    if palette:
        mask.putpalette(colormap.pascal(256).ravel().tolist())
    mask.save(path)


def sizes(number):
    """Returns height and width of the image with a number; they differ."""
    return 20 + 3 * number, 31 - 2 * number


def make_voc(folder, palette=False, **splits):
    """Writes images, masks and lists in VOC's layout.

    Args:
      folder: A pathlib.Path.
      palette: Whether masks have a palette.
      **splits: Split -> number of images; images are called SPLIT_NUMBER.

    Returns:
      Values of conversion options.
    """
    (folder / "Lists").mkdir(parents=True, exist_ok=True)
    for split, number in splits.items():
        names = [f"{split}_{index}" for index in range(number)]
        for index, name in enumerate(names):
            save_image(folder / "Images" / f"{name}.jpg", pixels(index, *sizes(index)))
            save_mask(folder / "Masks" / f"{name}.png", labels(index, *sizes(index)), palette)
        (folder / "Lists" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return {
        "image_folder": str(folder / "Images"),
        "semantic_segmentation_folder": str(folder / "Masks"),
        "list_folder": str(folder / "Lists"),
        "output_dir": str(folder / "records"),
        "num_classes": NUM_CLASSES,
    }


def make_records(folder, **splits):
    """Writes a small data set as records; returns their folder."""
    options = make_voc(folder, **splits)
    convert("pascal_voc", options)
    return options["output_dir"]


def data_config(folder, given=(), **values):
    """Returns options for small records."""
    sizes = {"train_crop_size": (33, 33), "eval_crop_size": (65, 65)}
    values = {"dataset_dir": str(folder), **sizes, **values}
    return Config.create(DATA_RECORDS, values, dict.fromkeys(given, "flag"))
