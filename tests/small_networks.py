"""Small networks with rule-made weights, saved to a folder."""

import functools
import os
import pathlib
import tempfile

import common
from core import network
from core.backbones import mobilenet_v2
from core.inference import segmenter
from core.training import ema
from options.config import Config
from options.data import InputOptions
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf

SMALL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=8)
CHECKPOINT = "model.ckpt-1"


def config_of(spec, **data):
    """Returns what `segmenter.load` takes of a network without saved options."""
    return Config.create(segmenter.RECORDS, {**spec.to_dict(), **data})


def save_checkpoint(folder, num_classes, options=SMALL, factor=1.0, averages=False):
    """Saves a network, the weights of its last layer times a factor; returns its prefix.

    With averages, the averages of the last layer are what it would be with factor 1.
    """
    depth = len(mobilenet_v2.BLOCKS)
    for name, content in _checkpoint(num_classes, options, factor, averages, depth).items():
        (folder / name).write_bytes(content)
    return str(folder / CHECKPOINT)


@functools.lru_cache(maxsize=None)
def _checkpoint(num_classes, options, factor, averages, unused_depth):
    """Returns the files of a checkpoint, made once for all tests: name -> content."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.Graph().as_default(), tf.Session() as session:
            _fill(session, num_classes, options, factor, averages)
            saver = tf.train.Saver(save_relative_paths=True)
            saver.save(session, os.path.join(folder, CHECKPOINT), write_meta_graph=False)
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def _fill(session, num_classes, options, factor, averages):
    network.build(tf.zeros([1, 33, 33, 3]), options, num_classes)
    load_weights(session)
    logits = [item for item in tf.global_variables() if item.op.name.startswith("logits/")]
    if averages:
        values = ema.create(logits)
        session.run([tf.assign(value, item) for value, item in zip(values, logits)])
    session.run([tf.assign(item, item * factor) for item in logits])


def save_run(folder, options, crop_size, class_names, steps, **run):
    """Makes a run's folder: checkpoints of random weights at some steps, and its options."""
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        network.build(tf.zeros([1, *crop_size, 3]), options, len(class_names), crop_size=crop_size)
        step = tf.train.get_or_create_global_step()
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            saver = tf.train.Saver()
            for number in steps:
                session.run(tf.assign(step, number))
                prefix = os.path.join(folder, "model.ckpt")
                saver.save(session, prefix, global_step=number, write_meta_graph=False)
    facts = {"num_classes": len(class_names), "class_names": list(class_names), **run}
    data = InputOptions(eval_crop_size=crop_size)
    common.save_options(folder, {"model": options, "input": data, "run": facts})
