r"""Speed of the conversion, with two bounds: `python -m benchmarks.conversion`.

  python -m benchmarks.conversion --json_path=conversion.json

Files are like PASCAL VOC's: photos of 500x375 as JPEG of about 71 KB, palette masks of about 4 KB.
Measured are, interleaved and on the same number of processes:

- `convert`: `datasets.convert pascal_voc` checks every pixel of every mask and removes palettes;
- `bound`: reads the files, parses the JPEG header, decodes the mask once, writes records;
- `copy`: reads the files and writes their bytes, without decoding.

Files are read from the system's cache. The reference converts at 0.028 of `copy` (198 images/s with
7,000 copied images/s, on two cores of an Intel).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import multiprocessing
import os
import shutil
import tempfile

import numpy as np
from absl import flags
from PIL import Image, ImageDraw

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions
from common import option
from datasets.convert import conversion
from datasets.records import tfrecord
from options.config import Config
from options.conversion import CONVERSION_RECORDS
from utils import colormap
from utils.compat import tf
from utils.errors import UserError
from utils.files import write_text

_HEIGHT, _WIDTH = 375, 500
_REFERENCE_OF_COPY = 0.028
# Number of different files; the others are copies of them.
_DISTINCT = 40
_SHARDS = 4


@dataclasses.dataclass(frozen=True)
class ConversionOptions(BenchmarkOptions):
    """What is measured."""

    num_images: int = option(flags.DEFINE_integer, 1500, "Images to convert.", minimum=_DISTINCT)
    num_workers: int | None = option(
        flags.DEFINE_integer, None, "Processes; unset: one per core.", minimum=1
    )
    work_dir: str | None = option(
        flags.DEFINE_string, None, "Folder of the files; unset: the system's temporary folder."
    )


OPTION_CLASSES = (ConversionOptions,)


def main(flag_values):
    """Measures and publishes the figures."""
    options = common.from_flags(ConversionOptions, flag_values)
    found = runner.Run("conversion", options)
    workers = options.num_workers or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.work_dir) as folder:
        image_kb, mask_kb = make_files(folder, options.num_images)
        rows = run(folder, options, workers)
    found.publish(
        list(rows.values()),
        [runner.ratio(rows["convert"], rows[bound]) for bound in ("bound", "copy")],
        heading=f"{options.num_images} images of {_WIDTH}x{_HEIGHT} ({image_kb:.0f} KB) with masks "
        f"({mask_kb:.1f} KB), {workers} processes; the reference: {_REFERENCE_OF_COPY} of copy.",
    )


def run(folder: str, options: ConversionOptions, workers: int) -> dict:
    """Returns the three figures by name."""
    names = _names(options.num_images)
    functions = {
        "convert": lambda: _convert(folder, workers),
        "bound": lambda: _in_processes(_bound, folder, names, workers),
        "copy": lambda: _in_processes(_copy, folder, names, workers),
    }
    seconds = runner.interleaved(functions, options.repetitions)
    return {
        name: runner.rates(name, values, len(names), "images/s") for name, values in seconds.items()
    }


def _names(number: int) -> list:
    return [f"2012_{place:06d}" for place in range(number)]


def make_files(folder: str, number: int) -> list:
    """Makes images, masks and a list in VOC's layout; returns the mean KB of images, of masks."""
    for name in ("JPEGImages", "SegmentationClass", "Lists"):
        os.makedirs(os.path.join(folder, name))
    names = _names(number)
    for place, name in enumerate(names):
        image, mask = _paths(folder, name)
        if place < _DISTINCT:
            _draw(np.random.RandomState(place), image, mask)
        else:
            for source, target in zip(_paths(folder, names[place % _DISTINCT]), (image, mask)):
                shutil.copyfile(source, target)
    write_text(os.path.join(folder, "Lists", "benchmark.txt"), "\n".join(names) + "\n")
    paths = [_paths(folder, name) for name in names[:_DISTINCT]]
    return [sum(map(os.path.getsize, found)) / 1e3 / _DISTINCT for found in zip(*paths)]


def _paths(folder: str, name: str) -> tuple:
    return (
        os.path.join(folder, "JPEGImages", f"{name}.jpg"),
        os.path.join(folder, "SegmentationClass", f"{name}.png"),
    )


def _draw(random, image_path: str, mask_path: str):
    """Draws a photo-like image, and a mask of blobs with borders of 255."""
    coarse = random.randint(0, 256, [24, 32, 3]).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((_WIDTH, _HEIGHT), Image.BICUBIC), np.int16)
    noise = random.normal(0, 9, [_HEIGHT, _WIDTH, 1])
    image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    Image.fromarray(image).save(image_path, quality=86)
    mask = Image.new("P", (_WIDTH, _HEIGHT))
    mask.putpalette(colormap.pascal(256).ravel().tolist())
    draw = ImageDraw.Draw(mask)
    for _ in range(5):
        middle, radius = random.uniform(0, [_WIDTH, _HEIGHT]), random.uniform(30, 130)
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        around = radius * (1 + 0.3 * np.sin(3 * angles + radius) + random.normal(0, 0.04, 90))
        points = [
            (middle[0] + r * np.cos(angle), middle[1] + r * np.sin(angle))
            for angle, r in zip(angles, around)
        ]
        draw.polygon(points, fill=int(random.randint(1, 21)))
        draw.line([*points, points[0]], fill=255, width=5)
    mask.save(mask_path)


def _convert(folder: str, workers: int):
    output = os.path.join(folder, "converted")
    values = {
        "image_folder": os.path.join(folder, "JPEGImages"),
        "semantic_segmentation_folder": os.path.join(folder, "SegmentationClass"),
        "list_folder": os.path.join(folder, "Lists"),
        "output_dir": output,
        "num_workers": workers,
        "num_shards": _shards(workers),
    }
    config = Config.create(CONVERSION_RECORDS, values)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        conversion.convert("pascal_voc", config)
    shutil.rmtree(output)


def _shards(workers: int) -> int:
    """Returns a number of shards that keeps all processes busy to the end."""
    return _SHARDS * workers


def _in_processes(function, folder: str, names: list, workers: int):
    """Calls a function with a path and a share of the names in each process."""
    output = os.path.join(folder, "bound")
    os.makedirs(output)
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(
            target=function,
            args=(folder, names[worker::workers], os.path.join(output, str(worker))),
        )
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise UserError("a process of the bound failed; see the messages above.")
    shutil.rmtree(output)


def _bound(folder: str, names: list, path: str):
    with tf.io.TFRecordWriter(path) as writer:
        for name in names:
            image, mask = map(_read, _paths(folder, name))
            width, height = Image.open(io.BytesIO(image)).size
            Image.open(io.BytesIO(mask)).load()
            record = tfrecord.Record(name, image, "jpeg", height, width, mask)
            writer.write(tfrecord.serialize(record))


def _copy(folder: str, names: list, path: str):
    with open(path, "wb") as file:
        for name in names:
            for source in _paths(folder, name):
                file.write(_read(source))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
