"""One rank of the test of clusters: does everything once, prints the results as JSON."""

import json
import os
import sys

import numpy as np

from core import layers
from deployment import backend as backends
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils.compat import tf
from utils.errors import UserError

IMAGES = np.random.RandomState(0).uniform(-1, 1, [4, 5, 5, 3]).astype(np.float32)
TARGETS = np.random.RandomState(1).uniform(-1, 1, [4, 5, 5, 2]).astype(np.float32)


def gradients(backend, sync_batch_norm=True):
    """Returns the state after a step of batch norm and dropout on this rank's images."""
    mine = slice(backend.rank, None, backend.ranks)
    with tf.Graph().as_default():
        tf.set_random_seed(3)
        step = tf.train.get_or_create_global_step()
        average = backend.average_with_gradient if sync_batch_norm else None
        device = layers.DeviceLayers(average=average, rank=backend.rank, ranks=backend.ranks)
        mode = layers.Mode(is_training=True, fine_tune_batch_norm=True, device=device)
        # The initial values of the ranks differ; only rank 0's are used.
        start = tf.truncated_normal_initializer(stddev=0.2 + backend.rank)
        outputs = layers.conv2d(
            tf.constant(IMAGES[mine]) + 5.0,
            2,
            3,
            weights_initializer=start,
            mode=mode,
            scope="conv",
        )
        outputs = layers.batch_norm(outputs, mode=mode, scope="norm")
        outputs = layers.dropout(outputs, 0.9, mode)
        loss = tf.reduce_mean(tf.square(outputs - TARGETS[mine]))
        optimizer = backend.wrap_optimizer(tf.train.MomentumOptimizer(0.1, 0.9))
        pairs = optimizer.compute_gradients(loss)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(updates):
            train_op = optimizer.apply_gradients(pairs, step)
        (mean_loss,) = backend.average([loss])
        config = backend.session_config(is_training=True)
        creator = tf.train.ChiefSessionCreator(master=backend.session_target, config=config)
        with tf.train.MonitoredSession(creator, backend.hooks()) as session:
            losses = [float(session.run([mean_loss, train_op])[0]) for _ in range(3)]
            state = session.run({v.op.name: v for v in tf.global_variables()})
    return losses, {name: np.ravel(value).tolist() for name, value in state.items()}


def main():
    backend = backends.create(
        DeviceOptions(device="cpu", intra_op_threads=1),
        RankOptions(all_reduce_bucket_mb=0.00005, check_weights_steps=1, join_timeout_secs=60.0),
    )
    backend.start()
    found = {"rank": backend.rank, "shared": backend.share("a number", backend.rank + 7)}
    found["sums"] = [
        backend.sum_over_ranks(np.full([2, 2], (1 << 40) + backend.rank, np.int64)).tolist(),
        int(backend.sum_over_ranks(np.array(backend.rank, np.int64))),
    ]
    found["losses"], found["state"] = gradients(backend)
    try:
        backend.agree("facts", {"same": 1, "--option": backend.rank})
    except UserError as error:
        found["disagreement"] = str(error)
    print(json.dumps(found))
    sys.stdout.flush()
    # The group has failed: there is nothing to wait for.
    os._exit(0)


if __name__ == "__main__":
    main()
