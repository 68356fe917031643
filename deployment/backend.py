"""The interface to devices; its defaults are those of one process on a CPU.

`core/` and the commands know this file only. A vendor's package is imported when its device is
created, so it is never needed on another machine.
"""

from __future__ import annotations

from deployment import devices
from deployment.ranks.single_process import SingleProcess
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils import variants
from utils.compat import tf
from utils.errors import OptionError


class Backend:
    """Runs training and inference steps on a device.

    Attributes:
      name: The device, as in `--device`.
      rank: Number of this process, 0 to ranks - 1.
      ranks: Number of processes that train together.
      skips_overflow: Whether the optimizer returned by `wrap_optimizer` itself skips updates whose
        gradients are not finite, as loss scaling does.
      formulation: How convolutions are computed in training, one of
        `core.layers.convolution.FORMULATIONS`; "native" suits devices that have every kernel.
      dropout: The device's own dropout, a function of inputs and the keep probability; None where
        it has none.
      trains: Whether this process trains. Set it before `start`: some devices are initialized
        differently for training.
      runs_at_once: Number of small batches that an evaluation predicts concurrently.
      precision_modes: The values of `--precision_mode` besides auto: name -> why this machine does
        not support it, or None. The first one is what auto means.
    """

    name = "cpu"
    skips_overflow = False
    formulation = "products"
    dropout = None
    trains = False
    runs_at_once = 1

    def __init__(self, options: DeviceOptions, group: SingleProcess | None = None):
        """Makes the backend.

        Args:
          options: The device's options.
          group: The processes that train together by TensorFlow's collectives; a device may have
            collectives of its own instead.
        """
        self.options = options
        self.group = group or SingleProcess()
        self.rank = self.group.rank
        self.ranks = self.group.ranks
        self.precision_modes = {"fp32": None}

    @property
    def precision(self) -> str:
        """The precision mode, with auto resolved."""
        chosen = self.options.precision_mode
        return next(iter(self.precision_modes)) if chosen == "auto" else chosen

    def check_precision(self):
        """Raises OptionError if the device does not support `--precision_mode`."""
        if self.precision not in self.precision_modes:
            raise OptionError(
                f"--precision_mode={self.precision} is unknown to device {self.name}, which "
                f"supports auto, {', '.join(self.precision_modes)}."
            )
        reason = self.precision_modes[self.precision]
        if reason is not None:
            raise OptionError(
                f"--precision_mode={self.precision} cannot be used here: {reason}; remove the flag."
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and results."""
        return self.rank == 0

    def start(self):
        """Prepares the device; called once before the first session."""
        self.group.start(self.session_config(is_training=True))

    def stop(self):
        """Releases the device; called once after the last session, also after a failure."""
        self.group.stop()

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
            # A TensorFlow that finds GPUs uses them, whatever device was chosen.
            device_count={"GPU": 0},
        )
        if is_training:
            self.group.configure(config)
        return config

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return self.group.wrap_optimizer(optimizer)

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, where the host runs the loop."""
        return self.group.average(tensors)

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the differentiable means of float tensors over all ranks."""
        return self.group.average_with_gradient(tensors)

    def hooks(self) -> list:
        """Returns the session hooks that the device needs in training."""
        return self.group.hooks()

    def train_op(self, train_op: tf.Operation, unused_steps_per_run: int) -> tf.Operation:
        """Returns the operation to run for training, wrapped as the device's loop needs it."""
        return train_op

    def runs_loop_on_device(self) -> bool:
        """Whether one session run makes all steps of a loop."""
        return False

    def can_shorten_loop(self) -> bool:
        """Whether a loop may have fewer steps than `iterations_per_loop`.

        Where it may not, the number of training steps must be a multiple of the loop's.
        """
        return not self.runs_loop_on_device()

    def sum_over_ranks(self, array):
        """Returns the sum of a numpy array over all ranks.

        Args:
          array: Integers, summed exactly, or floats, summed in at least single precision.
        """
        return self.group.sum_over_ranks(array)

    @property
    def session_target(self) -> str:
        """The target of sessions that train; empty for this process."""
        return self.group.target

    @property
    def restores(self) -> bool:
        """Whether this process reads the initial weights; other ranks receive them from rank 0."""
        return self.group.rank == 0

    def share(self, name: str, value):
        """Returns rank 0's plain value on all ranks; `name` identifies it in messages."""
        return self.group.share(name, value)

    def gather(self, name: str, value) -> list:
        """Returns the plain values of all ranks by rank; `name` identifies them in messages."""
        return self.group.gather(name, value)

    def agree(self, name: str, facts: dict):
        """Raises UserError on all ranks if their facts differ.

        Args:
          name: Identifies the facts in messages.
          facts: Name -> plain value.
        """
        self.group.agree(name, facts)

    def finish(self):
        """Waits until all ranks have finished work that must not be interrupted, such as saving."""
        self.group.finish()

    def raise_failure(self):
        """Raises UserError if a rank failed, which may be the cause of an error on this rank."""
        self.group.raise_failure()


def create(options: DeviceOptions, ranks: RankOptions | None = None) -> Backend:
    """Returns the backend of a device.

    Args:
      options: The device's options.
      ranks: The options of processes that run together, which are connected when this returns;
        None for a process by itself.

    Raises:
      OptionError: If the device is unknown or not on this machine, or an option has no effect on
        it.
      UserError: If the processes that train together do not find each other.
    """
    known = variants.collect(devices)
    name = _best_device(known) if options.device == "auto" else options.device
    device = variants.lookup(known, name, "--device")
    for record in filter(None, (options, ranks)):
        _check_flags(record, name, known)
    backend = device.create(options, ranks)
    backend.check_precision()
    return backend


def _best_device(known: dict) -> str:
    """Returns the available device with the highest preference; a less preferred is not probed."""
    ordered = sorted(known, key=lambda name: known[name].preference, reverse=True)
    return next(name for name in ordered if known[name].is_available())


def _check_flags(record: DeviceOptions | RankOptions, name: str, known: dict):
    """Raises OptionError if an option of other devices differs from its default."""
    defaults = type(record)()
    for flag in record.names():
        owners = sorted(device for device in known if flag in known[device].flags)
        if owners and name not in owners and getattr(record, flag) != getattr(defaults, flag):
            raise OptionError(
                f"--{flag} has an effect on {' and '.join(owners)} only, but the device is {name}; "
                "remove the flag."
            )
