"""The NPU backend with a fake of its adapter, in both layouts of the package."""

import importlib
import json
import os
import pathlib

import numpy as np
import pytest

import deployment.backend
from core.training import gradients
from deployment.devices import npu_keys, npu_loss_scale, npu_ranks
from options.device import DeviceOptions
from options.ranks import RankOptions
from tests.npu_adapter import collectives, importable
from tests.npu_adapter import session as device
from utils.compat import tf
from utils.errors import OptionError, UserError


@pytest.fixture(params=sorted(importable.LAYOUTS))
def adapter(request, monkeypatch):
    """Makes an adapter importable; removes it and its patch of sessions afterwards."""
    with importable.adapter(request.param, monkeypatch):
        yield request.param


@pytest.fixture
def no_npu(monkeypatch):
    """Removes the variables of a machine with NPUs."""
    for name in set(os.environ) - set(importable.clean(os.environ)):
        monkeypatch.delenv(name)


def create(**options):
    return deployment.backend.create(DeviceOptions(device="npu", **options), RankOptions())


def parameters(backend, *arguments, **options):
    """Returns the adapter's options in a session's configuration, checked by the fake."""
    return device.check_config(backend.session_config(*arguments, **options))


def test_a_missing_adapter_is_named(no_npu):
    with pytest.raises(OptionError, match="npu_bridge .* npu_device .*set_env.sh"):
        create()


def test_auto_takes_the_npu_if_there_are_adapter_and_environment(adapter, monkeypatch):
    assert deployment.backend.create(DeviceOptions()).name == "cpu"
    monkeypatch.setenv("ASCEND_OPP_PATH", "/usr/local/Ascend/opp")
    assert deployment.backend.create(DeviceOptions()).name == "npu"
    assert deployment.backend.create(DeviceOptions(device="cpu")).name == "cpu"


def test_a_damaged_adapter_is_named(tmp_path, no_npu, monkeypatch):
    (tmp_path / "npu_bridge").mkdir()
    (tmp_path / "npu_bridge" / "__init__.py").write_text("raise ImportError('no libge_runner.so')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r"npu_bridge .*\(no libge_runner.so\)"):
        create()


def test_the_device_is_initialized_and_shut_down(adapter):
    backend = create()
    backend.start()
    assert device.SYSTEM.runs == 1
    backend.stop()
    assert device.SYSTEM.is_shut_down
    backend.stop()


@pytest.mark.parametrize("trains", [True, False])
def test_the_device_is_initialized_for_training_or_inference(adapter, trains):
    backend = create()
    backend.trains = trains
    backend.start()
    assert device.SYSTEM.graph_run_mode == int(trains)
    if not trains:
        with pytest.raises(device.AdapterError, match="was initialized for inference"):
            minimise(backend, {}, 2)
    backend.stop()


def test_sessions_that_do_not_request_the_device_run_on_the_host(adapter):
    create()
    with tf.Graph().as_default():
        strings = tf.constant(["no device supports strings"])
        for config in (None, tf.ConfigProto(device_count={"GPU": 0})):
            with tf.Session(config=config) as session:
                session.run(strings)
                assert session._npu_values is None


def test_training_and_evaluation_have_their_session_options(adapter):
    backend = create()
    training = parameters(backend, 100, is_training=True)
    assert training == {
        "use_off_line": True,
        "mix_compile_mode": False,
        "enable_data_pre_proc": True,
        "iterations_per_loop": 100,
        "graph_run_mode": 1,
        "hcom_parallel": False,
        "precision_mode": "allow_mix_precision",
    }
    evaluation = parameters(backend)
    assert evaluation["iterations_per_loop"] == 1
    assert evaluation["graph_run_mode"] == 0
    assert evaluation["enable_data_pre_proc"] is False


@pytest.mark.parametrize(
    ("mode", "key", "value"),
    [
        ("fp32", "precision_mode", "must_keep_origin_dtype"),
        ("fp16", "precision_mode", "allow_mix_precision"),
        ("force_fp16", "precision_mode", "force_fp16"),
        ("mixed_float16", "precision_mode_v2", "mixed_float16"),
    ],
)
def test_precision_modes_go_to_their_key(adapter, mode, key, value):
    assert parameters(create(precision_mode=mode))[key] == value


def test_an_unknown_precision_mode_is_refused_with_the_known_ones(adapter):
    with pytest.raises(OptionError, match="=fp8 .*npu.*force_fp16"):
        create(precision_mode="fp8")


def test_folders_of_dumps_profile_and_tuning_are_created(adapter, tmp_path):
    backend = create(
        npu_dump_path=str(tmp_path / "dump"),
        npu_dump_step="0|5",
        npu_profile_path=str(tmp_path / "profile"),
        npu_tune_path=str(tmp_path / "tune"),
        npu_option=("jit_compile=false", "deterministic=1", "hcom_multi_mode=true"),
    )
    found = parameters(backend)
    assert found["dump_step"] == "0|5"
    assert json.loads(found["profiling_options"])["output"] == str(tmp_path / "profile")
    assert found["aoe_mode"] == "2"
    assert (found["jit_compile"], found["deterministic"], found["hcom_multi_mode"]) == (
        "false",
        1,
        True,
    )
    assert parameters(create(npu_overflow_path=str(tmp_path)))["enable_dump_debug"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"npu_option": ("jit_compile",)}, "--npu_option=jit_compile .*KEY=VALUE"),
        ({"npu_option": ("fast=1",)}, "--npu_option=fast=1: .*fast; .*HCCL_algorithm, "),
        ({"npu_option": ("jit_compile=1",)}, "--npu_option=jit_compile=1.* true, false, auto"),
        ({"npu_option": ("hcom_parallel=1",)}, "--npu_option=hcom_parallel=1.* true, false"),
        ({"npu_option": ("hccl_timeout=soon",)}, "--npu_option=hccl_timeout=soon"),
        ({"npu_option": ("work_path=",)}, "--npu_option=work_path= "),
        ({"npu_option": ("iterations_per_loop=5",)}, "iterations_per_loop .*--iterations_per_loop"),
        ({"npu_option": ("dump_mode=all", "dump_mode=all")}, "--npu_option=dump_mode .*twice"),
        ({"npu_dump_path": "d", "npu_overflow_path": "o"}, "--npu_dump_path .*--npu_overflow_path"),
        ({"loss_scale": "0.5"}, "--loss_scale is 0.5, .* none, dynamic"),
        ({"loss_scale": "high"}, "--loss_scale is high"),
    ],
)
def test_invalid_options_are_refused(adapter, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=message):
        create(**options)


def test_every_key_has_the_field_that_the_adapter_reads():
    assert {key: field for key, (field, _) in npu_keys.KEYS.items()} == device._FIELDS


def two_ranks(**more):
    table = pathlib.Path(deployment.backend.__file__).parent.parent / "scripts" / "8p.json"
    ranks = {"JOB_ID": "7", "RANK_SIZE": "8", "RANK_ID": "3", "DEVICE_ID": "3"}
    return {**ranks, "RANK_TABLE_FILE": str(table), **more}


def test_the_rank_comes_from_the_environment():
    assert npu_ranks.read({}, 1) == npu_ranks.Ranks(0, 1)
    assert npu_ranks.read(two_ranks(), 8) == npu_ranks.Ranks(3, 8)
    pod = two_ranks(RANK_ID="npu8p", DEVICE_INDEX="5")
    assert npu_ranks.read(pod, 1) == npu_ranks.Ranks(5, 8)
    chief = {"CM_WORKER_SIZE": "16", "DEVICE_INDEX": "9", "CM_CHIEF_IP": "10.0.0.1"}
    assert npu_ranks.read(chief, 16) == npu_ranks.Ranks(9, 16)


@pytest.mark.parametrize(
    ("environment", "expected", "message"),
    [
        ({}, 8, "--rank=8 .*RANK_SIZE is 1; .*--devices=8"),
        ({"RANK_SIZE": "2", "CM_WORKER_SIZE": "2"}, 1, "RANK_SIZE and CM_WORKER_SIZE"),
        ({"RANK_SIZE": "two"}, 1, "RANK_SIZE is 'two'"),
        ({"RANK_SIZE": "0"}, 1, "RANK_SIZE is 0"),
        ({"RANK_SIZE": "8"}, 1, "RANK_SIZE .*RANK_ID .*DEVICE_INDEX"),
        (two_ranks(RANK_ID="8"), 1, "rank 8, .*RANK_SIZE is 8; .* 0 to 7"),
        (two_ranks(RANK_SIZE="4"), 1, "RANK_SIZE is 4, .*8p.json .* 8 devices"),
        (two_ranks(RANK_TABLE_FILE="absent.json"), 1, "absent.json: No such file"),
        (two_ranks(CM_CHIEF_IP="10.0.0.1"), 1, "CM_CHIEF_IP .*RANK_SIZE"),
        ({"RANK_SIZE": "8", "RANK_ID": "0"}, 1, "JOB_ID is not set"),
        ({"RANK_SIZE": "8", "RANK_ID": "0", "JOB_ID": "7"}, 1, "RANK_TABLE_FILE is not set"),
    ],
)
def test_a_contradiction_in_the_environment_is_named(environment, expected, message):
    with pytest.raises(UserError, match=message):
        npu_ranks.read(environment, expected)


def test_a_loop_has_its_operation_and_its_hook(adapter):
    backend = create()
    with tf.Graph().as_default(), tf.name_scope("inside"):
        operation = tf.no_op()
        assert backend.train_op(operation, 1) is operation
        assert backend.hooks() == []
        assert backend.train_op(operation, 5).name == "IterationOp"
        (hook,) = backend.hooks()
    assert type(hook).__name__ == "SetIterationsVarHook"
    assert backend.runs_loop_on_device()
    assert not backend.can_shorten_loop()


def minimise(backend, options, steps):
    """Trains a weight towards 1 in a loop; returns it, the steps and the session's runs."""
    with tf.Graph().as_default():
        weight = tf.get_variable("weight", [], initializer=tf.zeros_initializer())
        step = tf.train.get_or_create_global_step()
        optimizer = backend.wrap_optimizer(tf.train.GradientDescentOptimizer(0.25))
        pairs = optimizer.compute_gradients(tf.square(weight - 1.0), [weight])
        apply = optimizer.apply_gradients(pairs, global_step=step)
        train_op = backend.train_op(apply, steps)
        creator = tf.train.ChiefSessionCreator(
            tf.train.Scaffold(), config=backend.session_config(steps, is_training=True)
        )
        with tf.train.MonitoredSession(creator, backend.hooks()) as session:
            session.run(train_op)
            return session.run([weight, step])


def test_one_run_makes_all_steps_of_a_loop(adapter):
    backend = create()
    weight, step = minimise(backend, {}, 4)
    assert step == 4
    np.testing.assert_allclose(weight, 1 - 0.5**4, rtol=1e-6)
    assert device.SYSTEM.loops == 1


def test_a_fixed_loss_scale_changes_nothing_without_overflow(adapter):
    weight, step = minimise(create(loss_scale="1024"), {}, 4)
    assert step == 4
    np.testing.assert_allclose(weight, 1 - 0.5**4, rtol=1e-6)


def test_steps_that_overflow_are_skipped(adapter, monkeypatch):
    from tests.npu_adapter import parts

    monkeypatch.setenv(parts.OVERFLOWS, "1,3")
    monkeypatch.setattr(parts, "_reads", [])
    weight, step = minimise(create(loss_scale="dynamic"), {}, 4)
    assert step == 2
    np.testing.assert_allclose(weight, 1 - 0.5**2, rtol=1e-6)


def test_a_scaled_loss_can_be_that_of_several_batches_in_turn(adapter):
    backend = create(loss_scale="1024")
    with tf.Graph().as_default():
        weight = tf.get_variable("weight", initializer=2.0)
        images = gradients.split(tf.constant([1.0, 3.0]), 2)
        parts = [gradients.Part(one, tf.reduce_sum(one * weight)) for one in images]
        in_turn = gradients.GradientAccumulation(tf.train.GradientDescentOptimizer(1.0), parts)
        loss = (parts[0].loss + parts[1].loss) / 2
        ((gradient, _),) = backend.wrap_optimizer(in_turn).compute_gradients(loss, [weight])
        with tf.Session(config=backend.session_config()) as session:
            session.run(tf.global_variables_initializer())
            assert session.run(gradient) == pytest.approx(2.0)


@pytest.fixture
def of_two(adapter, monkeypatch):
    """Returns a backend whose other rank contributes the same values."""
    backend = create()
    backend.ranks = 2

    def allreduce(tensor, reduction, fusion):
        assert (tensor.dtype in (tf.int32, tf.float32), reduction, fusion) == (True, "sum", 0)
        return tensor + tensor

    monkeypatch.setattr(backend._adapter.collectives, "allreduce", allreduce)
    return backend


def test_integers_are_summed_exactly_beyond_int32(of_two):
    total = of_two.sum_over_ranks(np.int64([[2**40 + 7, 0], [65535, 3]]))
    assert total.dtype == np.int64
    np.testing.assert_array_equal(total, [[2**41 + 14, 0], [131070, 6]])


def test_floats_are_summed_with_their_fractions(of_two):
    array = np.array([0.25, 1449.125, 1e-3, 123456789.5])
    np.testing.assert_allclose(of_two.sum_over_ranks(array), 2 * array, rtol=1e-13)
    assert of_two.sum_over_ranks(np.array(7, np.int64)) == 14


def test_an_adapter_that_needs_a_rank_table_is_refused_without_one(adapter, monkeypatch):
    monkeypatch.setenv("CM_WORKER_SIZE", "2")
    monkeypatch.setenv("DEVICE_INDEX", "1")
    monkeypatch.setattr(collectives, "start", lambda: None)
    assert create().rank == 1
    util = importlib.import_module(create()._adapter.util.__name__)
    monkeypatch.delattr(util, "get_ranksize")
    with pytest.raises(UserError, match="CM_WORKER_SIZE .*RANK_SIZE"):
        create()


def test_the_dynamic_scale_falls_with_overflows_and_grows_without(monkeypatch):
    monkeypatch.setattr(npu_loss_scale, "_STEPS_TO_GROW", 3)
    finite = tf.placeholder(tf.bool, [])
    manager = npu_loss_scale.create("dynamic")
    update = manager.update_loss_scale(finite)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        scales = []
        for value in (True, False, True, True, True, True):
            session.run(update, {finite: value})
            scales.append(session.run(manager.get_loss_scale()) / 2.0**15)
    assert scales == [1.0, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert tf.global_variables() == []


def test_module_layouts_are_complete(adapter):
    backend = create()
    names = ("hooks", "optimizers", "collectives", "ops", "util")
    for part in names:
        module = getattr(backend._adapter, part)
        assert importlib.import_module(module.__name__) is module
    assert os.environ["JOB_ID"] == "test"
