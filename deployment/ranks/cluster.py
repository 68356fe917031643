"""Several processes on CPU or GPU that train as one, over TensorFlow's own collectives.

Each rank runs `tf.distribute.Server`, and its session holds its own devices only. The collectives
in its graph meet those of the other ranks by their numbers; rank 0 leads the group. A backend is
given this object; nobody else knows it.
"""

from __future__ import annotations

import sys

import numpy as np
from absl import logging

from deployment.ranks import bind, handshake, ports, weights_check
from deployment.ranks.collectives import AveragingOptimizer, Collectives
from deployment.ranks.membership import Membership
from deployment.ranks.single_process import Alone
from options.device import DeviceOptions
from utils.compat import tf
from utils.errors import Interrupted, OptionError, UserError

_JOB = "worker"
# An error of TensorFlow may have its cause in another rank; how long to wait for word of it.
_WORD_SECONDS = 3.0
# A process can have one server and one meeting only, which outlive evaluations.
_CLUSTERS = {}


def create(membership: Membership, options: DeviceOptions, device: str = "/cpu:0") -> Alone:
    """Returns the group that this process belongs to; it has met when this returns.

    Args:
      membership: The place of this process.
      options: Bucket size and times.
      device: Where collectives run.

    Raises:
      OptionError: If another number of processes was started than `--rank` says.
      UserError: If the ranks do not come together.
    """
    if options.rank not in (1, membership.ranks):
        raise OptionError(
            f"--rank={options.rank} expects {options.rank} processes, but {membership.ranks} "
            f"{'was' if membership.ranks == 1 else 'were'} started; start them with `python -m "
            f"deployment.launch --devices={options.rank} -- ...`, or leave the flag out."
        )
    if membership.ranks == 1:
        return Alone()
    if membership not in _CLUSTERS:
        _CLUSTERS[membership] = Cluster(membership, options, device)
        _CLUSTERS[membership].join()
    return _CLUSTERS[membership]


class Cluster(Alone):
    """This process as one of several ranks."""

    def __init__(self, membership: Membership, options: DeviceOptions, device: str):
        self.rank = membership.rank
        self.ranks = membership.ranks
        self._membership = membership
        self._options = options
        self._collectives = Collectives(
            self.rank,
            self.ranks,
            int(options.all_reduce_bucket_mb * (1 << 20)),
            device,
            options.all_reduce_by,
        )
        self._monitor = None
        self._server = None
        self._config = None
        self._sums = {}

    def join(self):
        """Waits until all ranks are there."""
        logging.info("Waiting for %d ranks.", self.ranks)
        self._monitor = handshake.meet(
            self._membership,
            {"TensorFlow": tf.__version__},
            join_seconds=self._options.join_timeout_secs,
            silence_seconds=self._options.rank_timeout_secs,
        )

    def start(self, config: tf.ConfigProto):
        """Starts this rank's server, and waits for the others'."""
        self._config = config
        if self._server is None:
            try:
                own = self._own_address()
            except UserError as error:
                self._monitor.fail(str(error))
                raise
            addresses = self._monitor.exchange("the addresses of servers", own, list)
            self._server = self._serve(addresses, config)
            port = int(own.rsplit(":", 1)[1])
            bind.only_on(self._membership.interface or own.rsplit(":", 1)[0], port)
            self.target = self._server.target
        self._monitor.exchange("the start", None, lambda values: None)

    def _serve(self, addresses: list, config):
        try:
            return tf.distribute.Server(
                {_JOB: addresses}, job_name=_JOB, task_index=self.rank, config=config
            )
        except tf.errors.OpError as error:
            raise UserError(
                f"rank {self.rank} cannot start TensorFlow's server at {addresses[self.rank]}: "
                f"{error.message}"
            ) from error

    def _own_address(self) -> str:
        """Returns where this rank's server shall listen, a port that is free."""
        known = self._membership.addresses
        if 0 < self.rank < len(known):
            host, port = known[self.rank].rsplit(":", 1)
            ports.check_free(self._membership.interface or host, int(port), f"rank {self.rank}")
            return known[self.rank]
        # Rank 0 was met at its port; whose address is not known has the one it came from.
        host = known[0].rsplit(":", 1)[0] if self.rank == 0 else self._monitor.own_address
        (port,) = ports.find_free(self._membership.interface or host)
        return f"{host}:{port}"

    def stop(self):
        """Waits for the other ranks; behind a failure it tells them instead."""
        if self._monitor is None or self._monitor.has_left:
            return
        error = sys.exc_info()[1]
        if error is None:
            self._monitor.leave()
        elif isinstance(error, (UserError, Interrupted)):
            self._monitor.fail(f"rank {self.rank} stopped: {error}")
        else:
            self._monitor.fail(
                f"rank {self.rank} failed ({type(error).__name__}); its own log says why."
            )

    def finish(self):
        """Waits until all ranks are done with what must not be broken off."""
        self._monitor.leave()

    def configure(self, config: tf.ConfigProto):
        """Sets in the configuration of a session what collectives need."""
        config.experimental.collective_group_leader = f"/job:{_JOB}/replica:0/task:0"
        # In one piece, not in strings of 4 KB: 221 MB cost 15 % less processor time.
        config.experimental.recv_buf_max_chunk = -1
        # A session that saw other ranks' devices would wait for them, and might use them.
        config.device_filters.append(f"/job:{_JOB}/task:{self.rank}")

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return AveragingOptimizer(optimizer, self._collectives)

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks."""
        return self._collectives.mean(tensors)

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks, to be differentiated."""
        return self._collectives.mean_with_gradient(tensors)

    def hooks(self) -> list:
        """Returns the session hooks that make all ranks start alike, and keep them so."""
        hooks = [_StartAlike(self._collectives)]
        if self._options.check_weights_steps:
            check = weights_check.WeightsCheck(self._options.check_weights_steps, self._monitor)
            hooks.append(check)
        return hooks

    def sum_over_ranks(self, array):
        """Returns the sum of a numpy array over all ranks."""
        array = np.asarray(array)
        key = array.shape, array.dtype.str
        if key not in self._sums:
            with tf.Graph().as_default() as graph:
                values = tf.placeholder(array.dtype, [array.size])
                self._sums[key] = graph, values, self._collectives.sum(values)
        graph, values, total = self._sums[key]
        with tf.Session(self.target, graph=graph, config=self._config) as session:
            return session.run(total, {values: array.reshape(-1)}).reshape(array.shape)

    def share(self, name: str, value):
        """Returns the value that rank 0 has."""
        return self._monitor.exchange(name, value, lambda values: values[0])

    def agree(self, name: str, facts: dict):
        """Raises UserError in all ranks if they have different facts.

        Args:
          name: What the facts are.
          facts: Name -> plain value.
        """

        def compare(values):
            for rank, other in enumerate(values):
                for fact in sorted(set(other) | set(values[0])):
                    first, here = values[0].get(fact), other.get(fact)
                    if first != here:
                        raise UserError(
                            f"rank {rank} has another {fact} than rank 0 ({here}, not {first}); "
                            "start all ranks with the same options on the same data."
                        )

        self._monitor.exchange(name, facts, compare)

    def gather(self, name: str, value) -> list:
        """Returns the values of all ranks, in their order."""
        return self._monitor.exchange(name, value, list)

    def raise_failure(self):
        """Raises UserError if a rank failed, so that an error here has its cause there."""
        self._monitor.raise_failure(_WORD_SECONDS)


class _StartAlike(tf.train.SessionRunHook):
    """Gives all ranks the state of rank 0 when a session has been made."""

    def __init__(self, collectives: Collectives):
        self._collectives = collectives

    def begin(self):
        """Builds the copying of all state; hooks that make variables come before."""
        self._copy = self._collectives.copy_from_first(tf.global_variables())

    def after_create_session(self, session, unused_coordinator):
        """Copies."""
        session.run(self._copy)
