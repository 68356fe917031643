"""Training steps without a network, for tests of what runs a step, and options of training."""

from core.training.step import TrainStep
from options.config import Config
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS
from utils.compat import tf


def step_of(train_op, **tensors):
    """Returns a step with an operation, whose tensors are zero where none are given."""
    loss = tensors.pop("loss", tf.constant(0.0))
    fields = {
        "global_step": tf.train.get_or_create_global_step(),
        "learning_rate": tf.constant(0.0),
        "loss": loss,
        "reg_loss": tf.constant(0.0),
        "total_loss": loss,
        "images": None,
        "labels": None,
        "logits": None,
        "gradients": [],
        **tensors,
    }
    return TrainStep(train_op=train_op, **fields)


def config_of(**values):
    """Returns the options of network and training, by name; the others have their defaults."""
    return Config.create((*NETWORK_OPTIONS, *TRAINING_RECORDS), values)
