"""The one interface to devices; its defaults are one process.

`core/` and the entry points know this file only. `create` imports the chosen device's module on
request, so that a vendor's package is never needed on another machine.
"""

from __future__ import annotations

import importlib
import importlib.util

from deployment.ranks.single_process import Alone
from options.device import DeviceOptions
from utils.compat import tf
from utils.errors import OptionError


class Backend:
    """How a step runs on a device.

    Attributes:
      name: The device, as in `--device`.
      rank: Number of this process, 0 to ranks - 1.
      ranks: Number of processes that train together.
      skips_overflow: Whether the optimizer that `wrap_optimizer` gives leaves out steps whose
        gradients are not finite by itself, as one that scales the loss does.
      formulation: How convolutions are computed in training, one of
        `core.layers.convolution.FORMULATIONS`; "native" suits what has kernels for everything.
      dropout: The device's own dropout, a function of inputs and the share of elements that stays;
        None where it has none.
      trains: Whether the process trains; who does says so before `start`, as a device may have to
        know it from the beginning.
      runs_at_once: Small batches that an evaluation predicts side by side.
      precision_modes: What `--precision_mode` can be, besides auto: name -> why this machine
        cannot do it, or None. The first is what auto means.
    """

    name = "cpu"
    skips_overflow = False
    formulation = "products"
    dropout = None
    trains = False
    runs_at_once = 1

    def __init__(self, options: DeviceOptions, cluster: Alone | None = None):
        """Makes the backend.

        Args:
          options: The device's options.
          cluster: The processes that train together by TensorFlow's collectives; a device may have
            others.
        """
        self.options = options
        self.cluster = cluster or Alone()
        self.rank = self.cluster.rank
        self.ranks = self.cluster.ranks
        self.precision_modes = {"fp32": None}

    @property
    def precision(self) -> str:
        """The precision mode, with auto resolved."""
        chosen = self.options.precision_mode
        return next(iter(self.precision_modes)) if chosen == "auto" else chosen

    def check_precision(self):
        """Raises OptionError if the device cannot compute as `--precision_mode` says."""
        if self.precision not in self.precision_modes:
            raise OptionError(
                f"--precision_mode={self.precision} is not known to the device {self.name}, which "
                f"can do auto, {', '.join(self.precision_modes)}."
            )
        reason = self.precision_modes[self.precision]
        if reason is not None:
            raise OptionError(
                f"--precision_mode={self.precision} cannot be used here: {reason}; leave the flag "
                "out."
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and results."""
        return self.rank == 0

    def start(self):
        """Prepares the device; called once before the first session."""
        self.cluster.start(self.session_config(is_training=True))

    def stop(self):
        """Releases the device; called once after the last session, also after a failure."""
        self.cluster.stop()

    def session_config(
        self, steps_per_run: int = 1, *, is_training: bool = False
    ) -> tf.ConfigProto:
        """Returns the configuration of a session.

        Args:
          steps_per_run: Training steps of one session run, as in `train_op`.
          is_training: Whether the session trains.
        """
        del steps_per_run
        config = tf.ConfigProto(
            intra_op_parallelism_threads=self.options.intra_op_threads,
            inter_op_parallelism_threads=self.options.inter_op_threads,
            allow_soft_placement=True,
            # A TensorFlow that can use GPUs would, whatever the device was to be.
            device_count={"GPU": 0},
        )
        if is_training:
            self.cluster.configure(config)
        return config

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return self.cluster.wrap_optimizer(optimizer)

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, where the host runs the loop."""
        return self.cluster.average(tensors)

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, to be differentiated."""
        return self.cluster.average_with_gradient(tensors)

    def hooks(self) -> list:
        """Returns the session hooks that the device needs in training."""
        return self.cluster.hooks()

    def train_op(self, train_op: tf.Operation, unused_steps_per_run: int) -> tf.Operation:
        """Returns the operation to run for training, wrapped as the device's loop needs it."""
        return train_op

    def runs_loop_on_device(self) -> bool:
        """Whether one session run makes all steps of a loop."""
        return False

    def can_shorten_loop(self) -> bool:
        """Whether a loop may have fewer steps than `iterations_per_loop`.

        Where it may not, a number of training steps that is no whole number of loops is refused.
        """
        return not self.runs_loop_on_device()

    def sum_over_ranks(self, array):
        """Returns the sum of a numpy array over all ranks.

        Args:
          array: Whole numbers, summed exactly, or floats, to at least single precision.
        """
        return self.cluster.sum_over_ranks(array)

    @property
    def session_target(self) -> str:
        """Where sessions that train are made; empty in this process."""
        return self.cluster.target

    @property
    def restores(self) -> bool:
        """Whether this process reads what training starts from; the others are given it."""
        return self.cluster.rank == 0

    def share(self, name: str, value):
        """Returns a plain value that rank 0 has, where ranks talk; name says what it is."""
        return self.cluster.share(name, value)

    def gather(self, name: str, value) -> list:
        """Returns the plain values of all ranks, where ranks talk, else this one's alone."""
        return self.cluster.gather(name, value)

    def agree(self, name: str, facts: dict):
        """Raises UserError if ranks have different facts, where ranks talk.

        Args:
          name: What the facts are.
          facts: Name -> plain value.
        """
        self.cluster.agree(name, facts)

    def finish(self):
        """Waits until all ranks are done with what must not be broken off, such as saving."""
        self.cluster.finish()

    def raise_failure(self):
        """Raises UserError if a rank failed, so that an error here has its cause there."""
        self.cluster.raise_failure()


def create(options: DeviceOptions) -> Backend:
    """Returns the backend of a device.

    Raises:
      OptionError: If this version or this machine has no such device.
    """
    name = _best_device() if options.device == "auto" else options.device
    if importlib.util.find_spec(f"deployment.devices.{name}") is None:
        raise OptionError(f"--device={name} is not part of this version; pass --device=cpu.")
    _check_flags(options, name)
    backend = importlib.import_module(f"deployment.devices.{name}").create(options)
    backend.check_precision()
    return backend


def _check_flags(options: DeviceOptions, name: str):
    """Raises OptionError if a flag is for another device, where it would have no effect."""
    defaults = DeviceOptions().to_dict()
    for flag, value in options.to_dict().items():
        device = name
        if flag in ("gpu", "tf32"):
            device = "gpu"
        elif flag.startswith("npu_"):
            device = "npu"
        if device != name and value != defaults[flag]:
            raise OptionError(
                f"--{flag} is for {device.upper()}s, but this runs on {name}; leave it out."
            )


def _best_device() -> str:
    for name in ("npu", "gpu"):
        if importlib.import_module(f"deployment.devices.{name}").is_available():
            return name
    return "cpu"
