"""What tests of the converter share."""

import io
import json
import pathlib

import numpy as np
from PIL import Image

from datasets.convert import conversion
from datasets.records import shards, tfrecord
from options.config import Config
from options.conversion import CONVERSION_RECORDS


def convert(format_name, options, **changes):
    """Converts with flags given as a dict."""
    conversion.convert(format_name, config_of({**options, **changes}))


def config_of(options):
    """Returns the options of a conversion, flags given as a dict."""
    return Config.create(CONVERSION_RECORDS, options)


def read_records(folder, split):
    """Returns the records of a split."""
    index = shards.index(str(folder), split)
    return [tfrecord.deserialize(index.read(number)) for number in range(len(index))]


def decoded_label(record):
    """Returns a record's label, uint8 [h, w]."""
    return np.asarray(Image.open(io.BytesIO(record.label)))


def labels_by_name(folder, split):
    return {record.name: decoded_label(record) for record in read_records(folder, split)}


def dataset_json(folder):
    return json.loads((pathlib.Path(folder) / "dataset.json").read_text())
