"""Small networks with rule-made weights, saved to a folder."""

from core import model
from core.options import ModelOptions
from core.training import averaging
from tests.golden.logits import load_weights
from utils.compat import tf

SMALL = ModelOptions(depth_multiplier=0.25, aspp_convs_filters=8)


def save_checkpoint(folder, num_classes, options=SMALL, factor=1.0, averages=False):
    """Saves a network, the weights of its last layer times a factor; returns its prefix.

    With averages, the averages of the last layer are what it would be with factor 1.
    """
    prefix = str(folder / "model.ckpt-1")
    with tf.Graph().as_default(), tf.Session() as session:
        model.logits(tf.zeros([1, 33, 33, 3]), options, num_classes)
        load_weights(session)
        logits = [item for item in tf.global_variables() if item.op.name.startswith("logits/")]
        if averages:
            values = averaging.create(logits)
            session.run([tf.assign(value, item) for value, item in zip(values, logits)])
        session.run([tf.assign(item, item * factor) for item in logits])
        tf.train.Saver().save(session, prefix, write_meta_graph=False)
    return prefix
