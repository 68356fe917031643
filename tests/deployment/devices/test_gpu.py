"""The GPU backend, as far as it can be tested without a GPU.

The GPUs that TensorFlow finds are faked. Graphs are those of real training steps, rewritten by
TensorFlow's own optimizer for a described GPU, and run on the CPU.
"""

import importlib

import numpy as np
import pytest

from core.training import step
from deployment import backend as backends
from deployment.devices import gpu
from options.device import DeviceOptions
from tests.small_steps import config_of
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


def test_a_tensorflow_without_cuda_is_refused(machine, monkeypatch):
    monkeypatch.setattr(compat, "is_built_with_cuda", lambda: False)
    with pytest.raises(OptionError, match=r"--device=gpu: .* CUDA; .*requirements/gpu.txt"):
        _create()


def test_a_missing_driver_is_named(machine, monkeypatch):
    monkeypatch.setattr(gpu, "_has_driver", lambda: False)
    with pytest.raises(OptionError, match=r"--device=gpu: .*libcuda.so.1"):
        _create()


@pytest.mark.parametrize("value", ["", "-1"])
def test_the_variable_that_hides_gpus_is_named(machine, monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(OptionError, match=f"--device=gpu: CUDA_VISIBLE_DEVICES={value} "):
        _create()


def test_missing_libraries_are_named(machine):
    machine.clear()
    with pytest.raises(OptionError, match=r"--device=gpu: .* doctor.py"):
        _create()


@pytest.mark.parametrize(
    ("requested", "count", "local_rank", "ranks", "index"),
    [
        (None, 1, 0, 1, 0),
        (None, 4, 0, 1, 0),
        (3, 4, 0, 1, 3),
        (None, 4, 2, 4, 2),
        # The launcher makes only its own GPU visible to each process.
        (None, 1, 2, 4, 0),
    ],
)
def test_each_process_has_its_gpu(requested, count, local_rank, ranks, index):
    assert gpu.choose(requested, count, local_rank=local_rank, ranks=ranks) == index


@pytest.mark.parametrize(
    ("requested", "local_rank", "ranks", "message"),
    [
        (2, 0, 1, "--gpu is 2, .* 2 GPUs: 0 to 1; CUDA_VISIBLE_DEVICES is"),
        (None, 2, 4, "local rank .* is 2, .* 2 GPUs"),
        (0, 0, 2, "--gpu=0 .* --device_ids"),
    ],
)
def test_a_gpu_that_does_not_exist_is_refused(requested, local_rank, ranks, message):
    with pytest.raises(OptionError, match=message):
        gpu.choose(requested, 2, local_rank=local_rank, ranks=ranks)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (OLD, {"precision_mode": "fp16"}, "=fp16 .* Tesla P100 .* 6.0, .* 7.0"),
        (OLD, {"precision_mode": "bf16"}, "=bf16 .* Tesla P100 .* 6.0, .* 8.0"),
        (AMPERE, {"precision_mode": "bf16"}, "=bf16 .* CPUs only"),
        (AMPERE, {"precision_mode": "allow_mix_precision"}, "auto, fp32, fp16, bf16"),
        (AMPERE, {"loss_scale": "0.5"}, "--loss_scale is 0.5"),
        (AMPERE, {"loss_scale": "dynamic"}, "--loss_scale=dynamic .* --precision_mode=fp16"),
    ],
)
def test_unsupported_options_are_refused(machine, kind, options, message):
    machine[:] = [kind]
    with pytest.raises(OptionError, match=message):
        _create(**options)


def test_fp16_is_allowed_if_tensorflow_does_not_report_the_capability(machine):
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
    with pytest.raises(OptionError, match=r"--notf32: TensorFlow 1.15"):
        _create(tf32=False)


def _step(backend):
    """Returns a training step of a small network with clipping, in the default graph."""
    images = tf.random.stateless_uniform([2, 33, 33, 3], [1, 2], 0.0, 255.0)
    labels = tf.random.stateless_uniform([2, 33, 33, 1], [3, 4], 0, 5, tf.int32)
    return step.build(
        images,
        labels,
        config_of(
            depth_multiplier=0.25,
            aspp_convs_filters=8,
            fine_tune_batch_norm=True,
            seed=1,
            clip_gradient_norm=1.0,
        ),
        classes=ClassSet(default_names(5)),
        backend=backend,
    )


@pytest.fixture(scope="module")
def scaled(shallow_mobilenet):
    """A session that trains on the CPU what a GPU would with a scaled loss, and the step."""
    options = DeviceOptions(device="gpu", precision_mode="fp16", loss_scale="dynamic")
    backend = gpu.GpuBackend(options, 0, AMPERE)
    # Old TensorFlows cannot train with the GPU's formulation on a CPU.
    backend.formulation = "products"
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        built = _step(backend)
        initialize = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
    config = backend.session_config(is_training=True)
    # TensorFlow would rewrite the graph for this machine's oneDNN.
    config.graph_options.rewrite_options.auto_mixed_precision = 0
    session = tf.Session(graph=graph, config=config)
    session.run(initialize)
    yield session, built
    session.close()


def _values(session, collection=tf.GraphKeys.GLOBAL_VARIABLES):
    return session.run({item.op.name: item for item in session.graph.get_collection(collection)})


def _load(session, values):
    variables = session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
    loaded = [variable for variable in variables if variable.op.name in values]
    # As Variable.load, but in one run.
    feeds = {variable.initializer.inputs[1]: values[variable.op.name] for variable in loaded}
    session.run([variable.initializer for variable in loaded], feeds)


def test_a_scaled_step_equals_one_without_scaling(scaled):
    session, built = scaled
    start = _values(session)
    found = []
    # A power of two causes no rounding in fp32.
    for scale in (1.0, 2.0**15):
        _load(session, {**start, "loss_scale": np.float32(scale)})
        session.run(built.train_op)
        found.append(_values(session))
        assert found[-1].pop("loss_scale") == scale
        assert session.run(built.bad_step.number) == 0
    for name in found[0]:
        np.testing.assert_allclose(
            found[1][name], found[0][name], rtol=1e-5, atol=1e-7, err_msg=name
        )


def test_a_step_that_overflows_is_skipped_and_training_continues(scaled):
    session, built = scaled
    before, steps = _values(session, tf.GraphKeys.TRAINABLE_VARIABLES), built.global_step
    first = session.run(steps)
    # The effect of an overflow in fp16 on gradients.
    _load(session, {"loss_scale": np.float32(np.inf)})
    session.run(built.train_op)
    for name, value in _values(session, tf.GraphKeys.TRAINABLE_VARIABLES).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert _values(session)["loss_scale"] == 2.0**24
    assert session.run([steps, built.bad_step.number]) == [first + 1, 0]
    session.run(built.train_op)
    assert session.run([steps, built.bad_step.number]) == [first + 2, 0]
    after = _values(session, tf.GraphKeys.TRAINABLE_VARIABLES)
    assert any((after[name] != before[name]).any() for name in before)


def test_fp16_without_loss_scaling_logs_a_warning(machine, caplog):
    backend = _create(precision_mode="fp16")
    optimizer = tf.train.GradientDescentOptimizer(1.0)
    assert backend.wrap_optimizer(optimizer) is optimizer
    assert "--loss_scale=dynamic" in caplog.text


def _rewritten(train_op, config):
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
    collection.append(train_op)
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
    nodes = _rewritten(_step(backend).train_op, backend.session_config(is_training=True))
    for word in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        assert _types([node for node in nodes if node.op == word], word) == {"float16"}
    assert _types(nodes, "FusedBatchNormV3") == {"float16"}
    assert _types(nodes, "FusedBatchNormV3", "U") == {"float32"}
    assert _types(nodes, "SparseSoftmaxCrossEntropy") | _types(nodes, "SoftmaxCross") == {"float32"}
    assert _types(nodes, "ApplyMomentum") == {"float32"}
    assert _types(nodes, "VariableV2", "dtype") <= {"float32", "int64", "int32", "float64"}
