"""Several processes on CPU or GPU that train as one, with TensorFlow's collectives.

Each rank runs `tf.distribute.Server`, and its session has its own devices only. Collectives of
different ranks match by their numbers; rank 0 leads the group. Only the backend uses this object.
"""

from __future__ import annotations

import sys

import numpy as np
from absl import logging

from deployment.ranks import bind, handshake, ports, weights_check
from deployment.ranks.collectives import AveragingOptimizer, Collectives
from deployment.ranks.membership import Membership
from deployment.ranks.single_process import SingleProcess
from options.ranks import RankOptions
from utils.compat import tf
from utils.errors import Interrupted, OptionError, UserError

_JOB = "worker"
# How long to wait for another rank to report the cause of an error in TensorFlow.
_REPORT_SECONDS = 3.0
# The options that have an effect on a group of this kind.
OPTION_NAMES = (
    "all_reduce_bucket_mb",
    "all_reduce_by",
    "check_weights_steps",
    "join_timeout_secs",
    "rank_timeout_secs",
)


def create(membership: Membership, options: RankOptions, device: str = "/cpu:0") -> SingleProcess:
    """Returns the group of this process, with all ranks connected.

    A process can belong to one group only, since it can have one TensorFlow server only.

    Args:
      membership: The place of this process.
      options: Bucket size and timeouts.
      device: Where collectives run.

    Raises:
      OptionError: If the number of processes differs from `--rank`.
      UserError: If the ranks do not find each other.
    """
    if options.rank not in (1, membership.ranks):
        raise OptionError(
            f"--rank={options.rank} expects {options.rank} processes, but {membership.ranks} "
            f"{'was' if membership.ranks == 1 else 'were'} started; start them with `python -m "
            f"deployment.launch --devices={options.rank} -- ...`, or remove the flag."
        )
    if membership.ranks == 1:
        return SingleProcess()
    return Cluster(membership, options, device)


class Cluster(SingleProcess):
    """This process as one of several ranks."""

    def __init__(self, membership: Membership, options: RankOptions, device: str):
        """Waits until all ranks are connected.

        Raises:
          UserError: If they do not find each other.
        """
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
        self._server = None
        self._config = None
        self._sums = {}
        logging.info("Waiting for %d ranks.", self.ranks)
        self._monitor = handshake.connect(
            membership,
            {"TensorFlow": tf.__version__},
            join_seconds=options.join_timeout_secs,
            silence_seconds=options.rank_timeout_secs,
        )

    def start(self, config: tf.ConfigProto):
        """Starts this rank's server, and waits for those of the other ranks."""
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
            bind.bind_to_interface(self._membership.interface or own.rsplit(":", 1)[0], port)
            self.target = self._server.target
        self._monitor.exchange("the start", None, lambda values: None)

    def _serve(self, addresses: list, config):
        try:
            return tf.distribute.Server(
                {_JOB: addresses}, job_name=_JOB, task_index=self.rank, config=config
            )
        except tf.errors.OpError as error:
            raise UserError(
                f"rank {self.rank} cannot start TensorFlow's server on {addresses[self.rank]}: "
                f"{error.message}"
            ) from error

    def _own_address(self) -> str:
        """Returns the host and a free port for this rank's server."""
        known = self._membership.addresses
        if 0 < self.rank < len(known):
            host, port = known[self.rank].rsplit(":", 1)
            ports.check_free(self._membership.interface or host, int(port), self.rank)
            return known[self.rank]
        # Rank 0's known port is that of the handshake. A rank without a known address uses the one
        # from which it connected.
        host = known[0].rsplit(":", 1)[0] if self.rank == 0 else self._monitor.own_address
        (port,) = ports.find_free(self._membership.interface or host)
        return f"{host}:{port}"

    def stop(self):
        """Waits for the other ranks; after a failure, reports it to them instead."""
        if self._monitor.has_left:
            return
        error = sys.exc_info()[1]
        if error is None:
            self._monitor.leave()
        elif isinstance(error, (UserError, Interrupted)):
            self._monitor.fail(f"rank {self.rank} stopped: {error}")
        else:
            self._monitor.fail(f"rank {self.rank} failed ({type(error).__name__}); see its log.")

    def finish(self):
        """Waits until all ranks have finished work that must not be interrupted."""
        self._monitor.leave()

    def configure(self, config: tf.ConfigProto):
        """Adds what collectives need to a session's configuration."""
        config.experimental.collective_group_leader = f"/job:{_JOB}/replica:0/task:0"
        # Unchunked instead of 4 KB strings: 15 % less CPU time for 221 MB.
        config.experimental.recv_buf_max_chunk = -1
        # Otherwise the session would wait for the other ranks' devices, and could place operations
        # on them.
        config.device_filters.append(f"/job:{_JOB}/task:{self.rank}")

    def wrap_optimizer(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are averaged over all ranks."""
        return AveragingOptimizer(optimizer, self._collectives)

    def average(self, tensors: list) -> list:
        """Returns the means of float tensors over all ranks."""
        return self._collectives.mean(tensors)

    def average_with_gradient(self, tensors: list) -> list:
        """Returns the differentiable means of float tensors over all ranks."""
        return self._collectives.mean_with_gradient(tensors)

    def hooks(self) -> list:
        """Returns the session hooks that give all ranks the same state, and check it."""
        hooks = [_SyncInitialState(self._collectives)]
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
        """Returns rank 0's value."""
        return self._monitor.exchange(name, value, lambda values: values[0])

    def agree(self, name: str, facts: dict):
        """Raises UserError on all ranks if their facts differ.

        Args:
          name: Identifies the facts in messages.
          facts: Name -> plain value.
        """

        def compare(values):
            for rank, other in enumerate(values):
                for fact in sorted(set(other) | set(values[0])):
                    first, here = values[0].get(fact), other.get(fact)
                    if first != here:
                        raise UserError(
                            f"{fact} is {here} on rank {rank}, but {first} on rank 0; start all "
                            "ranks with the same options and data."
                        )

        self._monitor.exchange(name, facts, compare)

    def gather(self, name: str, value) -> list:
        """Returns the values of all ranks by rank."""
        return self._monitor.exchange(name, value, list)

    def raise_failure(self):
        """Raises UserError if a rank failed, which may be the cause of an error on this rank."""
        self._monitor.raise_failure(_REPORT_SECONDS)


class _SyncInitialState(tf.train.SessionRunHook):
    """Copies rank 0's state to all ranks after a session has been created."""

    def __init__(self, collectives: Collectives):
        self._collectives = collectives

    def begin(self):
        """Builds the copy operations; hooks that create variables must come before."""
        self._copy = self._collectives.broadcast(tf.global_variables())

    def after_create_session(self, session, unused_coordinator):
        """Copies the state."""
        session.run(self._copy)
