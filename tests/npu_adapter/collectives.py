"""HCCL of the stand-in: sums and broadcasts between processes, over a local socket.

Rank 0 collects the arrays of all ranks for each run of an operation, and sends them the result.
"""

import multiprocessing.connection
import os
import threading
import time

import numpy as np

from utils.compat import tf

_ADDRESS_VARIABLE = "NPU_STAND_IN_SOCKET"
_SECONDS = 60.0
_turns = {}
_lock = threading.Lock()
_server = None


def ranks():
    return int(os.environ.get("RANK_SIZE", os.environ.get("CM_WORKER_SIZE", "1")))


def rank():
    # Without a rank table it is in the launcher's own variable.
    return int(os.environ.get("RANK_ID", os.environ.get("DEVICE_INDEX", "0")))


def start():
    """Starts the server in rank 0."""
    global _server
    if ranks() > 1 and rank() == 0 and _server is None:
        _server = _Server(os.environ[_ADDRESS_VARIABLE])


class _Server:
    def __init__(self, address):
        self._listener = multiprocessing.connection.Listener(address, "AF_UNIX")
        self._waiting = {}
        self._condition = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        key, reduction, root, number, array = connection.recv()
        with self._condition:
            brought = self._waiting.setdefault(key, {})
            brought[number] = array
            self._condition.notify_all()
            self._condition.wait_for(lambda: len(brought) == ranks(), _SECONDS)
            if reduction == "sum":
                connection.send(sum(brought[other] for other in sorted(brought)))
            else:
                connection.send(brought[root])
        connection.close()


def _exchange(name, reduction, root, array):
    with _lock:
        turn = _turns[name] = _turns.get(name, 0) + 1
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            connection = multiprocessing.connection.Client(os.environ[_ADDRESS_VARIABLE])
            break
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    connection.send(((name, turn), reduction, root, rank(), array))
    answer = connection.recv()
    connection.close()
    return np.asarray(answer, array.dtype)


def _operation(tensor, reduction, root, kind):
    tensor = tf.convert_to_tensor(tensor)
    # In the order in which the graph was built, the same for all ranks, to avoid deadlocks.
    before = tf.get_collection_ref(kind)
    with tf.name_scope(kind) as name, tf.control_dependencies(before[-1:]):
        result = tf.py_func(
            lambda array: _exchange(name, reduction, root, array), [tensor], tensor.dtype
        )
    result.set_shape(tensor.shape)
    before.append(result.op)
    return result


def allreduce(tensor, reduction, fusion=1, fusion_id=-1, group="hccl_world_group"):
    """Returns the sum over all ranks."""
    assert reduction == "sum"
    assert fusion in (0, 1, 2)
    assert group == "hccl_world_group"
    if isinstance(tensor, list):
        (tensor,) = tensor
    allowed = (tf.int8, tf.int16, tf.int32, tf.int64, tf.float16, tf.float32)
    assert tf.convert_to_tensor(tensor).dtype.base_dtype in allowed
    return _operation(tensor, reduction, 0, "HcclAllReduce")


def broadcast(tensor, root_rank, fusion=2, fusion_id=0, group="hccl_world_group"):
    """Returns the root's value of each of a list of tensors."""
    assert isinstance(tensor, list)
    assert fusion in (0, 2)
    return [_operation(one, "broadcast", root_rank, "HcclBroadcast") for one in tensor]
