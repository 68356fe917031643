"""Hooks, optimizers and operations of the stand-in, with the adapter's names and arguments."""

import os

import numpy as np

from tests.npu_adapter import collectives, session
from utils.compat import tf

# Reads of the overflow flag that find it raised, counted from 1: "1,3".
OVERFLOWS = "NPU_STAND_IN_OVERFLOWS"
_reads = []


def initialize_system(name=None):
    return tf.no_op(name=name or session.INITIALIZE)


def shutdown_system(name=None):
    return tf.no_op(name=name or session.SHUT_DOWN)


def get_ranksize():
    """Returns the number of processes as text; versions before 2022 lack this function."""
    if "RANK_SIZE" in os.environ and "CM_WORKER_SIZE" in os.environ:
        raise ValueError("RANK_SIZE and CM_WORKER_SIZE")
    return str(collectives.ranks())


def dropout(x, keep_prob, noise_shape=None, seed=None, name=None):
    """Returns x with dropped elements."""
    with tf.name_scope(name, "NpuDropout"):
        kept = tf.random.uniform(tf.shape(x), seed=seed) < keep_prob
        return tf.where(kept, x / keep_prob, tf.zeros_like(x))


class SetIterationsVarHook(tf.train.SessionRunHook):
    """Makes and fills the variables of the loop on the device."""

    def __init__(self, iterations_per_loop=None):
        self._steps = iterations_per_loop

    def begin(self):
        self._variables = [_loop_variable(name) for name in session.LOOP_VARIABLES]

    def after_create_session(self, active_session, unused_coordinator):
        for variable, value in zip(self._variables, (self._steps - 1, 0, 0, 1)):
            variable.load(value, session=active_session)


def _loop_variable(name):
    collection = session.loop_collection(name)
    if not tf.get_collection(collection):
        with tf.variable_scope(session.LOOP_SCOPE, reuse=tf.AUTO_REUSE):
            tf.get_variable(
                name,
                [],
                tf.int64,
                tf.zeros_initializer(),
                trainable=False,
                collections=[collection, tf.GraphKeys.LOCAL_VARIABLES],
                use_resource=True,
            )
    (variable,) = tf.get_collection(collection)
    return variable


class NPUBroadcastGlobalVariablesHook(tf.train.SessionRunHook):
    """Gives all ranks the root's trainable variables; other variables stay unchanged."""

    def __init__(self, root_rank=None, index=None):
        assert root_rank == 0
        assert index == collectives.rank()

    def begin(self):
        self._operation = tf.group(
            *(
                tf.assign(variable, collectives.broadcast([variable], 0)[0]).op
                for variable in tf.trainable_variables()
            )
        )

    def after_create_session(self, active_session, unused_coordinator):
        active_session.run(self._operation)


def _average(gradients):
    return [
        (collectives.allreduce(gradient, "sum") / collectives.ranks(), variable)
        for gradient, variable in gradients
    ]


class NPUDistributedOptimizer(tf.train.Optimizer):
    """Averages gradients over the ranks."""

    def __init__(self, optimizer, is_weight_update_sharding=False, name=None):
        self._optimizer = optimizer
        super().__init__(use_locking=False, name=name or "Distributed")

    def compute_gradients(self, *arguments, **options):
        gradients = self._optimizer.compute_gradients(*arguments, **options)
        return gradients if collectives.ranks() == 1 else _average(gradients)

    def apply_gradients(self, *arguments, **options):
        return self._optimizer.apply_gradients(*arguments, **options)


class NPUOptimizer(tf.train.Optimizer):
    """Scales the loss, reads the overflow flag and averages gradients, as requested."""

    def __init__(
        self,
        opt,
        loss_scale_manager=None,
        is_distributed=False,
        is_loss_scale=False,
        is_tailing_optimization=False,
        name=None,
    ):
        if is_loss_scale and loss_scale_manager is None:
            raise ValueError("is_loss_scale is True, loss_scale_manager can not be None")
        self._opt = opt
        self._manager = loss_scale_manager
        self._is_distributed = is_distributed
        self._is_loss_scale = is_loss_scale
        super().__init__(use_locking=False, name=name or "NPUOptimizer")

    def compute_gradients(
        self,
        loss,
        var_list=None,
        gate_gradients=tf.train.Optimizer.GATE_OP,
        aggregation_method=None,
        colocate_gradients_with_ops=False,
        grad_loss=None,
    ):
        scale = tf.constant(1.0)
        if self._is_loss_scale:
            scale = tf.convert_to_tensor(self._manager.get_loss_scale())
        gradients = self._opt.compute_gradients(
            loss * scale,
            var_list=var_list,
            gate_gradients=gate_gradients,
            aggregation_method=aggregation_method,
            colocate_gradients_with_ops=colocate_gradients_with_ops,
            grad_loss=grad_loss,
        )
        if self._is_distributed:
            gradients = _average(gradients)
        return [(gradient / scale, variable) for gradient, variable in gradients]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        if not self._is_loss_scale:
            return self._opt.apply_gradients(grads_and_vars, global_step, name)
        gradients = [gradient for gradient, _ in grads_and_vars]
        with tf.control_dependencies(gradients), tf.name_scope("HcclFlag"):
            flag = tf.py_func(_read_flag, [], tf.float32)
            flag.set_shape([])
        if self._is_distributed:
            flag = collectives.allreduce(flag, "sum", fusion=0)
        is_finite = tf.equal(flag, 0.0)
        update = tf.cond(
            is_finite,
            lambda: self._opt.apply_gradients(grads_and_vars, global_step, name),
            lambda: tf.no_op(),
        )
        return tf.group(update, self._manager.update_loss_scale(is_finite))


def _read_flag():
    _reads.append(None)
    raised = os.environ.get(OVERFLOWS, "").split(",")
    return np.float32(str(len(_reads)) in raised)
