"""The GPU backend, as far as it can be held to account without a GPU.

What TensorFlow sees is stood in for; graphs are those of real training steps, rewritten by
TensorFlow's own optimizer for a GPU that exists on paper only, and run on the CPU.
"""

import contextlib
import importlib

import numpy as np
import pytest

from core.training import step as train
from deployment import backend as backends
from deployment.devices import gpu, npu
from options.device import DeviceOptions
from options.network import NetworkSpec
from options.training import TrainingSpec
from utils import compat
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import OptionError

OLD = compat.Gpu("Tesla P100", (6, 0))
VOLTA = compat.Gpu("Tesla V100", (7, 0))
AMPERE = compat.Gpu("NVIDIA A100", (8, 0))


@pytest.fixture
def machine(monkeypatch):
    """A machine with GPUs, to be changed by the test."""
    gpus = [AMPERE, VOLTA]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(compat, "is_built_with_cuda", lambda: True)
    monkeypatch.setattr(compat, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(gpu, "_has_driver", lambda: True)
    return gpus


def _create(**options):
    return backends.create(DeviceOptions(device="gpu", **options))


def test_a_session_takes_memory_as_needed_on_the_chosen_gpu(machine):
    config = _create(gpu=1, intra_op_threads=3).session_config()
    assert config.gpu_options.allow_growth
    assert config.gpu_options.visible_device_list == "1"
    assert not config.device_count
    assert config.intra_op_parallelism_threads == 3
    assert config.allow_soft_placement
    rewrites = config.graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.DEFAULT


def test_fp16_is_tensorflows_own_rewrite_of_the_graph(machine):
    rewrites = _create(precision_mode="fp16").session_config().graph_options.rewrite_options
    assert rewrites.auto_mixed_precision == rewrites.ON


def test_on_other_devices_a_tensorflow_with_cuda_leaves_gpus_alone(machine):
    config = backends.create(DeviceOptions(device="cpu")).session_config()
    assert config.device_count["GPU"] == 0


def test_auto_takes_the_gpu_where_there_is_no_npu(machine, monkeypatch):
    assert backends.create(DeviceOptions()).name == "gpu"
    machine.clear()
    assert backends.create(DeviceOptions()).name == "cpu"
    machine.append(AMPERE)
    monkeypatch.setattr(npu, "is_available", lambda: True)
    with pytest.raises(OptionError, match="--device=npu needs the Ascend adapter"):
        backends.create(DeviceOptions())


def test_gpus_are_looked_for_only_where_they_can_be(monkeypatch):
    def fail():
        raise AssertionError("TensorFlow was asked")

    monkeypatch.setattr(compat, "visible_gpus", fail)
    monkeypatch.setattr(compat, "is_built_with_cuda", lambda: True)
    monkeypatch.setattr(gpu, "_has_driver", lambda: False)
    assert not gpu.is_available()
    monkeypatch.setattr(compat, "is_built_with_cuda", lambda: False)
    monkeypatch.setattr(gpu, "_has_driver", lambda: True)
    assert not gpu.is_available()


def test_a_tensorflow_without_cuda_is_said(machine, monkeypatch):
    monkeypatch.setattr(compat, "is_built_with_cuda", lambda: False)
    with pytest.raises(OptionError, match=r"was built without CUDA; install requirements/gpu.txt"):
        _create()


def test_a_missing_driver_is_said(machine, monkeypatch):
    monkeypatch.setattr(gpu, "_has_driver", lambda: False)
    with pytest.raises(OptionError, match=r"driver \(libcuda.so.1\) is not found; install it, or"):
        _create()


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_said(machine, monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(OptionError, match=f"CUDA_VISIBLE_DEVICES={value} hides all GPUs; unset"):
        _create()


def test_libraries_that_do_not_load_are_said(machine):
    machine.clear()
    with pytest.raises(OptionError, match="the driver is there, but TensorFlow sees no GPU"):
        _create()


@pytest.mark.parametrize(
    ("stated", "count", "local_rank", "ranks", "index"),
    [
        (None, 1, 0, 1, 0),
        (None, 4, 0, 1, 0),
        (3, 4, 0, 1, 3),
        (None, 4, 2, 4, 2),
        # The launcher shows each process its own only.
        (None, 1, 2, 4, 0),
    ],
)
def test_each_process_has_its_gpu(stated, count, local_rank, ranks, index):
    assert gpu.choose(stated, count, local_rank=local_rank, ranks=ranks) == index


@pytest.mark.parametrize(
    ("stated", "local_rank", "ranks", "message"),
    [
        (2, 0, 1, "--gpu is 2, but TensorFlow sees 2 GPUs: 0 to 1; CUDA_VISIBLE_DEVICES is"),
        (None, 2, 4, "this process's number on its host is 2, but TensorFlow sees 2"),
        (0, 0, 2, "--gpu=0 is for a single process, but 2 train together"),
    ],
)
def test_a_gpu_that_is_not_there_is_said(stated, local_rank, ranks, message):
    with pytest.raises(OptionError, match=message):
        gpu.choose(stated, 2, local_rank=local_rank, ranks=ranks)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (OLD, {"precision_mode": "fp16"}, "Tesla P100 has compute capability 6.0, and TensorFlow"),
        (OLD, {"precision_mode": "bf16"}, "Tesla P100 has compute capability 6.0, and bf16 begins"),
        (AMPERE, {"precision_mode": "bf16"}, "changes graphs to bf16 for CPUs only"),
        (AMPERE, {"precision_mode": "allow_mix_precision"}, "can do auto, fp32, fp16, bf16"),
        (AMPERE, {"loss_scale": "0.5"}, "--loss_scale is 0.5, but must be none, dynamic, or"),
        (AMPERE, {"loss_scale": "dynamic"}, "--loss_scale=dynamic is for --precision_mode=fp16"),
    ],
)
def test_what_a_gpu_cannot_do_is_refused(machine, kind, options, message):
    machine[:] = [kind]
    with pytest.raises(OptionError) as error:
        _create(**options)
    assert message in str(error.value)


def test_fp16_is_left_to_tensorflow_where_it_tells_no_capability(machine):
    machine[:] = [compat.Gpu("GPU", None)]
    assert _create(precision_mode="fp16").precision == "fp16"


def test_tf32_is_switched(machine, monkeypatch):
    switched = []
    monkeypatch.setattr(compat, "set_tf32", lambda allowed: switched.append(allowed) or True)
    _create()
    _create(tf32=False)
    _create(tf32=True)
    assert switched == [False, True]


@pytest.mark.skipif(compat.VERSION < (2, 4), reason="this TensorFlow has no TF32")
def test_tensorflow_takes_the_switch_of_tf32():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    before = enabled()
    try:
        assert compat.set_tf32(False)
        assert not enabled()
    finally:
        compat.set_tf32(before)


@pytest.mark.skipif(compat.VERSION >= (2, 4), reason="this TensorFlow has TF32")
def test_tf32_is_refused_by_a_tensorflow_without_it(machine):
    with pytest.raises(OptionError, match=r"--notf32: TensorFlow 1.15.* has no switch for TF32"):
        _create(tf32=False)


@pytest.mark.parametrize("options", [{"gpu": 0}, {"tf32": False}])
def test_flags_of_a_gpu_are_refused_on_a_cpu(options):
    with pytest.raises(OptionError, match=r"--(gpu|tf32) is for GPUs, but this runs on cpu"):
        backends.create(DeviceOptions(device="cpu", **options))


@pytest.mark.parametrize("options", [{"npu_option": ("a=b",)}, {"npu_dump_path": "dumps"}])
def test_flags_of_an_npu_are_refused_on_a_cpu(options):
    with pytest.raises(OptionError, match=r"--npu_\w+ is for NPUs, but this runs on cpu"):
        backends.create(DeviceOptions(device="cpu", **options))


def _step(backend, **options):
    """Returns a whole training step of a small network, in the default graph."""
    images = tf.random.stateless_uniform([2, 33, 33, 3], [1, 2], 0.0, 255.0)
    labels = tf.random.stateless_uniform([2, 33, 33, 1], [3, 4], 0, 5, tf.int32)
    return train.build(
        images,
        labels,
        NetworkSpec.of(model_variant="resnet_v1_18", atrous_rates=(2, 4, 6)),
        TrainingSpec.of(fine_tune_batch_norm=True, seed=1, **options),
        classes=ClassSet(default_names(5)),
        backend=backend,
    )


@contextlib.contextmanager
def _session(backend, **options):
    """Builds a step and gives it with a session on the CPU."""
    tf.reset_default_graph()
    tf.set_random_seed(1)
    # Old TensorFlows cannot train with the GPU's formulation on a CPU.
    backend.formulation = "products"
    step = _step(backend, **options)
    config = backend.session_config(is_training=True)
    # TensorFlow would rewrite the graph for this machine's oneDNN.
    config.graph_options.rewrite_options.auto_mixed_precision = 0
    with tf.Session(config=config) as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        yield session, step


def _values(session):
    return session.run({variable.op.name: variable for variable in tf.global_variables()})


def test_a_scaled_step_is_that_without_scaling(machine):
    # A power of two rounds nothing in fp32.
    options = {"clip_gradient_norm": 1.0}
    with _session(_create(), **options) as (session, step):
        session.run(step.train_op)
        plain = _values(session)
    scaled = _create(precision_mode="fp16", loss_scale="1024")
    with _session(scaled, **options) as (session, step):
        session.run(step.train_op)
        values = _values(session)
        assert session.run(step.bad_step.number) == 0
    assert values.pop("loss_scale") == 1024.0
    values.pop("loss_scale_good_steps")
    assert sorted(values) == sorted(plain)
    for name in plain:
        np.testing.assert_allclose(values[name], plain[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_step_that_overflows_is_left_out_and_training_goes_on(machine):
    backend = _create(precision_mode="fp16", loss_scale="dynamic")
    assert backend.skips_overflow
    with _session(backend) as (session, step):
        trained = {variable.op.name: variable for variable in tf.trainable_variables()}
        scale = next(one for one in tf.global_variables() if one.op.name == "loss_scale")
        initial = session.run(trained)
        # What an overflow in fp16 does to gradients.
        session.run(tf.assign(scale, np.inf))
        session.run(step.train_op)
        for name, value in session.run(trained).items():
            np.testing.assert_array_equal(value, initial[name], err_msg=name)
        assert session.run([step.global_step, scale, step.bad_step.number]) == [1, 2.0**24, 0]
        session.run(step.train_op)
        assert session.run([step.global_step, step.bad_step.number]) == [2, 0]
        after = session.run(trained)
        assert any((after[name] != initial[name]).any() for name in initial)


def test_fp16_without_a_scaled_loss_is_warned_of(machine, caplog):
    backend = _create(precision_mode="fp16")
    optimizer = tf.train.GradientDescentOptimizer(1.0)
    assert backend.wrap_optimizer(optimizer) is optimizer
    assert "fp16 without --loss_scale: gradients below 6e-8 become zero" in caplog.text


def _rewritten(step, config):
    """Returns the nodes of a step as TensorFlow would run them on a Volta GPU."""
    # By their private names: the public interface has nothing for it.
    device_properties_pb2 = importlib.import_module(
        "tensorflow.core.protobuf.device_properties_pb2"
    )
    cluster = importlib.import_module("tensorflow.python.grappler.cluster")
    tf_optimizer = importlib.import_module("tensorflow.python.grappler.tf_optimizer")
    properties = {"architecture": "7", "cuda": "11020", "cudnn": "8100"}
    device = device_properties_pb2.NamedDevice(
        name="/job:localhost/replica:0/task:0/device:GPU:0",
        properties=device_properties_pb2.DeviceProperties(
            type="GPU", model="Volta", frequency=1000, num_cores=80, environment=properties
        ),
    )
    graph_def = tf.get_default_graph().as_graph_def(add_shapes=True)
    for node in graph_def.node:
        node.device = device.name
    collection = tf.get_default_graph().get_collection_ref("train_op")
    collection.append(step.train_op)
    meta_graph = tf.train.export_meta_graph(graph_def=graph_def)
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.append("auto_mixed_precision")
    rewrites.min_graph_nodes = -1
    with_gpu = cluster.Cluster(devices=[device])
    return tf_optimizer.OptimizeGraph(config, meta_graph, cluster=with_gpu).node


def _types(nodes, word, attribute="T"):
    return {
        tf.as_dtype(node.attr[attribute].type).name
        for node in nodes
        if node.op.startswith(word) and attribute in node.attr
    }


@pytest.mark.skipif(
    not compat.is_built_with_cuda(), reason="TensorFlow was built without its GPU kernels"
)
def test_for_a_gpu_convolutions_become_fp16_and_statistics_loss_and_update_stay(machine):
    backend = _create(precision_mode="fp16", loss_scale="dynamic")
    tf.reset_default_graph()
    nodes = _rewritten(_step(backend), backend.session_config(is_training=True))
    for word in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        assert _types([node for node in nodes if node.op == word], word) == {"float16"}
    assert _types(nodes, "FusedBatchNormV3") == {"float16"}
    assert _types(nodes, "FusedBatchNormV3", "U") == {"float32"}
    assert _types(nodes, "SparseSoftmaxCrossEntropy") | _types(nodes, "SoftmaxCross") == {"float32"}
    assert _types(nodes, "ApplyMomentum") == {"float32"}
    assert _types(nodes, "VariableV2", "dtype") <= {"float32", "int64", "int32", "float64"}
