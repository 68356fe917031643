r"""Speed of the training input, compared with decoding: `python -m benchmarks.input_pipeline`.

  python -m benchmarks.input_pipeline
  python -m benchmarks.input_pipeline --cores=1 --json_path=input.json

Makes files of PASCAL VOC's size (500x375, JPEG of about 71 KB, palette mask of some KB), converts
them, and times, interleaved in one process bound to that many cores: the pipeline (crop 513, random
scale, crop, flip), decoding the same JPEG and PNG files alone, and the pipeline cut off after each
of its stages. Compare machines by the ratio of the first two.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags
from PIL import Image

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions, Row
from common import option
from datasets import synthetic_scenes
from datasets.convert import conversion
from datasets.dataset import Dataset
from datasets.pipeline import input_fn, preprocess
from datasets.records import labels, tfrecord
from options.config import Config
from options.conversion import CONVERSION_RECORDS
from options.data import DATA_RECORDS
from utils import colormap, image_ops
from utils.compat import tf
from utils.errors import UserError
from utils.files import write_text
from utils.imaging import tensors

_JPEG_BYTES = 71000
_BATCH = 8
_WARM_UP = 4
_PAUSE_SECONDS = 0.3
_PAD_COLOR = (123.15, 115.9, 103.06)


@dataclasses.dataclass(frozen=True)
class PipelineOptions(BenchmarkOptions):
    """What is measured."""

    cores: tuple[int, ...] = option(
        flags.DEFINE_list, (1, 2), "Numbers of cores, comma separated.", convert=int, minimum=1
    )
    images: int = option(flags.DEFINE_integer, 32, "Images of the data set.", minimum=1)
    batches: int = option(flags.DEFINE_integer, 16, "Batches of 8 per measurement.", minimum=1)
    epochs: int = option(
        flags.DEFINE_integer, 10, "Epochs over which memory is measured.", minimum=1
    )
    here: bool = option(flags.DEFINE_bool, False, "Measure in this process and print JSON.")


OPTION_CLASSES = (PipelineOptions,)


def main(flag_values):
    """Measures each number of cores in a process of its own."""
    options = common.from_flags(PipelineOptions, flag_values)
    if options.here:
        print(json.dumps(_measure(options, options.cores[0])))
        return
    available = sorted(os.sched_getaffinity(0))
    if max(options.cores) > len(available):
        raise UserError(
            f"--cores={','.join(map(str, options.cores))}, but there are only {len(available)}."
        )
    found = runner.Run("input_pipeline", options)
    results = [_in_own_process(number, available) for number in options.cores]
    by_core = [_rows(result) for result in results]
    found.publish(
        [row for rows in by_core for row in rows.values()],
        [runner.ratio(rows["pipeline"], rows["decode alone"]) for rows in by_core],
        heading=f"Images of 500x375 to batches of {_BATCH}, crop 513.",
        details=_details(results),
    )


def _in_own_process(cores: int, available: list) -> dict:
    command = [sys.executable, "-m", "benchmarks.input_pipeline", *sys.argv[1:]]
    result = subprocess.run(
        [*command, "--here", f"--cores={cores}"],
        stdout=subprocess.PIPE,
        preexec_fn=functools.partial(os.sched_setaffinity, 0, available[:cores]),
    )
    if result.returncode:
        raise UserError(f"the measurement on {cores} cores failed; see the messages above.")
    return json.loads(result.stdout.decode().strip().split("\n")[-1])


def _measure(options: PipelineOptions, cores: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        records = make_records(folder, options.images)
        # First: memory freed by other parts of the measurement could be reused.
        memory = _memory(records, cores, options.epochs * options.images // _BATCH)
        images = options.batches * _BATCH
        parts = {name: _runner(dataset, cores) for name, dataset in _parts(records).items()}
        seconds = {name: [] for name in parts}
        for _ in range(options.repetitions):
            for name, run in parts.items():
                # Batches that were prefetched while others were timed do not count.
                run(_WARM_UP)
                begin = time.perf_counter()
                run(options.batches)
                seconds[name].append(time.perf_counter() - begin)
                # Time to refill the buffers, so that this does not slow down the next part.
                time.sleep(_PAUSE_SECONDS)
        rates = {name: [images / value for value in values] for name, values in seconds.items()}
    return {"cores": cores, "images_per_second": rates, **memory}


def make_records(folder: str, number: int) -> str:
    """Writes images and masks of PASCAL VOC's size, always the same; returns their records."""
    folders = [os.path.join(folder, name) for name in ("images", "masks", "lists", "records")]
    for name in folders[:3]:
        os.makedirs(name)
    for index in range(number):
        random = np.random.RandomState([index])
        scenes = [synthetic_scenes.draw(random, 0.5, (125, 125)) for _ in range(12)]
        image, mask = (
            np.vstack([np.hstack(part[row::3]) for row in range(3)]) for part in zip(*scenes)
        )
        with open(os.path.join(folders[0], f"{index:04d}.jpg"), "wb") as file:
            file.write(_jpeg(image))
        mask = Image.fromarray(mask)
        mask.putpalette(colormap.pascal(256).ravel().tolist())
        mask.save(os.path.join(folders[1], f"{index:04d}.png"))
    names = "".join(f"{index:04d}\n" for index in range(number))
    write_text(os.path.join(folders[2], "train.txt"), names)
    names = ("image_folder", "semantic_segmentation_folder", "list_folder", "output_dir")
    config = Config.create(CONVERSION_RECORDS, dict(zip(names, folders)))
    conversion.convert("pascal_voc", config)
    return folders[3]


def _jpeg(image: np.ndarray) -> bytes:
    """Returns a JPEG file of at most 71 KB, in the best quality."""
    for quality in range(97, 50, -1):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= _JPEG_BYTES:
            break
    return buffer.getvalue()


def _parts(records: str) -> dict:
    """Returns name -> function that makes a data set of what is measured."""
    config = Config.create(DATA_RECORDS, {"dataset_dir": records})
    dataset = Dataset.open(config)
    index, stored = dataset.index("train"), labels.of(dataset.classes)
    contents = [tfrecord.deserialize(index.read(number)) for number in range(len(index))]

    def pipeline():
        return dataset.train_batches(split="train", batch_size=_BATCH, pad_color=_PAD_COLOR)

    def decode_alone():
        pairs = ([record.image for record in contents], [record.label for record in contents])
        return _mapped(
            tf.data.Dataset.from_tensor_slices(pairs).repeat(),
            lambda image, label: (tf.image.decode_jpeg(image), tf.image.decode_png(label)),
        )

    def read():
        order = tf.data.Dataset.range(len(index)).repeat()
        return input_fn.read_records(index, order)

    def label_of(serialized):
        parsed = tfrecord.parse(serialized)
        size = tensors.image_size(parsed["image"])
        return parsed, size, tfrecord.decode_label(parsed["label"], size, stored, plain=True)

    def prepared(serialized, decodes_image: bool, border):
        parsed, size, label = label_of(serialized)
        read_image = functools.partial(tensors.decode_window, parsed["image"], size)
        if not decodes_image:
            read_image = _grey_pixels
        return preprocess.for_training(
            read_image,
            label,
            config.input,
            config.augmentation,
            pad_color=_PAD_COLOR,
            ignore_label=255,
            random=tf.random_uniform([preprocess.NUM_RANDOM]),
            border=border,
        )[:2]

    def mapped_prepared(decodes_image: bool):
        # Outside of the data set's function, so that it is computed once, as in the pipeline.
        border = image_ops.border(*config.input.train_crop_size, _PAD_COLOR)
        return _mapped(read(), lambda record: prepared(record, decodes_image, border))

    return {
        "pipeline": pipeline,
        "decode alone": decode_alone,
        "read": lambda: _mapped(read(), lambda record: (record,)),
        "read, decode mask": lambda: _mapped(read(), lambda record: (label_of(record)[2],)),
        "all but decode image": lambda: mapped_prepared(False),
        "all but batch": lambda: mapped_prepared(True),
    }


def _grey_pixels(unused_offset, size):
    return tf.fill(tf.concat([size, [3]], axis=0), tf.constant(127, tf.uint8))


def _mapped(dataset, function):
    """Returns batches of one number per element, for which the function is computed.

    The number depends on a pixel: TensorFlow would prune a computation of which only the shape is
    needed.
    """

    @tf.autograph.experimental.do_not_convert
    def small(*element):
        return tf.add_n([number_of(value) for value in function(*element)])

    def number_of(value):
        if value.dtype == tf.string:
            return tf.strings.length(value)
        return tf.cast(tf.reshape(value, [-1])[-1], tf.int32)

    calls = tf.data.experimental.AUTOTUNE
    return dataset.map(small, num_parallel_calls=calls).batch(_BATCH).prefetch(2)


def _runner(make_dataset, cores: int):
    """Returns a function that takes a number of batches of a data set, not copied anywhere."""
    graph = tf.Graph()
    with graph.as_default():
        iterator = tf.data.make_initializable_iterator(make_dataset())
        batch = iterator.get_next()
        operation = tf.group(*(batch.values() if isinstance(batch, dict) else [batch]))
    config = tf.ConfigProto(intra_op_parallelism_threads=cores, inter_op_parallelism_threads=cores)
    session = tf.Session(graph=graph, config=config)
    session.run(iterator.initializer)

    def run(batches: int):
        for _ in range(batches):
            session.run(operation)

    return run


def _memory(records: str, cores: int, batches: int) -> dict:
    """Returns the MB added since the start, and by the second half of the run."""
    before = _resident_mb()
    run = _runner(_parts(records)["pipeline"], cores)
    run(max(1, batches // 2))
    half = _resident_mb()
    run(batches)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {
        "memory_above_start_mb": max(highest, half) - before,
        "memory_growth_mb": _resident_mb() - half,
    }


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def stages(found: dict) -> dict:
    """Returns the milliseconds per image of each stage, by differences."""
    rates = found["images_per_second"]
    each = {name: 1000 / statistics.median(values) for name, values in rates.items()}
    return {
        "read": each["read"],
        "decode mask": each["read, decode mask"] - each["read"],
        "decode image": each["all but batch"] - each["all but decode image"],
        "scale, crop, flip, pad": each["all but decode image"] - each["read, decode mask"],
        "batch": each["pipeline"] - each["all but batch"],
    }


def _rows(found: dict) -> dict:
    """Returns the figures of one number of cores by name."""
    memory = {name: found[name] for name in ("memory_above_start_mb", "memory_growth_mb")}
    return {
        name: Row(
            f"{name}, {found['cores']} core(s)",
            "images/s",
            tuple(values),
            {name.replace("_", " "): value for name, value in memory.items()}
            if name == "pipeline"
            else {},
        )
        for name, values in found["images_per_second"].items()
    }


def _details(results: list) -> str:
    milliseconds = stages(results[0])
    total = sum(milliseconds.values())
    shares = [
        {"stage": name, "ms per image": value, "share %": 100 * value / total}
        for name, value in milliseconds.items()
    ]
    return f"Stages, {results[0]['cores']} core(s):\n\n{runner.table(shares)}"


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
