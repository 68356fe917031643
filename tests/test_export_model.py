"""The export command: what a user types, what is left behind, what is refused."""

import dataclasses
import importlib.util
import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from commands import running
from core import network
from core.export import check, exporter, graph, tflite
from core.inference import resize, segmenter
from options.export import ExportOptions
from options.network import NetworkSpec
from tests import resources, small_data
from tests.golden import logits as golden_logits
from tests.options.flags_of import accepted_flags
from tests.small_networks import SMALL, config_of, save_checkpoint, save_run
from utils.compat import has_new_tflite_converter, tf
from utils.errors import OptionError, UserError
from utils.version import VERSION

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=16)
NAMES = ["sky", "road", "car", "tree"]
COLORS = [[0, 0, 0], [200, 0, 0], [0, 200, 0], [0, 0, 200]]
CROP = (33, 41)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a checkpoint of random weights and the options of the network."""
    folder = str(tmp_path_factory.mktemp("run"))
    facts = {"colors": COLORS, "dataset": "tiny", "ignore_label": 255}
    save_run(folder, MODEL, CROP, NAMES, (20,), **facts)
    return folder


def export(run, path, **options):
    options = {"checkpoint_dir": run, "export_path": str(path), "device": "cpu", **options}
    return running.call("export", **options)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """An export in the formats of every machine; its folder, and what the command returned."""
    folder = tmp_path_factory.mktemp("exported")
    photos = folder / "photos"
    for seed in range(2):
        small_data.save_image(photos / f"{seed}.jpg", small_data.pixels(seed, 50, 60))
    described = export(
        run,
        folder / "out" / "net.pb",
        format=("frozen", "savedmodel", "tflite", "om"),
        check_images=str(photos),
        representative_images=str(photos) if has_new_tflite_converter() else None,
        num_check_images=2,
        save_inference_graph=True,
        postprocess=("min_object=9,fill_holes@car",),
        # Random weights give nearly equal probabilities: labels turn at a touch.
        int8_label_agreement=0.0,
    )
    return folder / "out", described


def test_the_network_needs_no_flags_where_options_were_saved(exported):
    folder, described = exported
    assert json.loads((folder / "net.json").read_text()) == json.loads(json.dumps(described))
    assert described["network"]["depth_multiplier"] == 0.25
    assert described["inference"]["crop_size"] == list(CROP)
    assert described["checkpoint"]["step"] == 20
    assert described["versions"]["deeplabv3"] == VERSION
    assert (described["class_names"], described["colors"]) == (NAMES, COLORS)


def test_steps_after_the_threshold_travel_in_the_metadata(exported, run, tmp_path):
    assert exported[1]["inference"]["postprocess"] == ["min_object=9", "fill_holes@car"]
    with segmenter.load(str(exported[0] / "net.pb")) as network:
        assert network.description["postprocess"] == ["min_object=9", "fill_holes@car"]
    for text, message in (
        ("mine.py:clean", "code of yours"),
        ("fill_holes@sea", "sea is no class"),
    ):
        with pytest.raises(OptionError, match=message):
            export(run, tmp_path / "net.pb", postprocess=(text,))
    assert not os.listdir(tmp_path)


def test_every_format_gets_its_name_beside_the_frozen_graph(exported):
    names = ["inference_graph.pbtxt", "net.json", "net.pb", "net.tflite", "net_atc.pb"]
    names += ["net_atc.sh", "net_float16.tflite", "net_savedmodel"]
    if has_new_tflite_converter():
        names.append("net_int8.tflite")
    assert sorted(os.listdir(exported[0])) == sorted(names)


def test_size_latency_and_agreement_of_each_are_stored(exported):
    folder, described = exported
    assert described["check_images"]["count"] == 2
    for name, entry in described["artifacts"].items():
        if name != "savedmodel":
            assert entry["bytes"] == os.path.getsize(folder / entry["file"])
        assert entry["latency"]["median_ms"] > 0
        assert entry["check"]["images"] == 2
        if name not in ("tflite_float16", "tflite_int8"):
            assert entry["check"]["label_agreement"] >= 0.999, name
            assert entry["check"]["max_difference"] < 1e-4, name


def test_size_latency_and_agreement_are_shown(run, tmp_path, capsys):
    export(run, tmp_path / "net.pb")
    shown = capsys.readouterr().out
    assert re.search(
        r"net.pb \(frozen\), \d\.\d\d MB: largest difference .*, equal labels 100.0000% on "
        r"3 images; .* ms an image \(median of 5, \d+x\d+\)",
        shown,
    )


def test_the_saved_model_takes_batches_and_encoded_images(exported):
    folder, _ = exported
    photo = small_data.pixels(5, 30, 35)
    content = io.BytesIO()
    Image.fromarray(photo).save(content, "PNG")
    with graph.opened(str(folder / "net.pb")) as run_frozen:
        labels, probabilities = run_frozen(photo)
    path = str(folder / "net_savedmodel")
    with tf.Graph().as_default() as graph_, tf.Session(graph=graph_) as session:
        loaded = tf.saved_model.load(session, ["serve"], path)
        signatures = loaded.signature_def
        assert set(signatures) >= {"serving_default", "encoded"}
        batch = _call(session, signatures["serving_default"], np.stack([photo, photo[::-1]]))
        encoded = _call(session, signatures["encoded"], [content.getvalue()])
        assert json.loads(session.run("Metadata:0").decode())["class_names"] == NAMES
    assert batch["SemanticPredictions"].shape == (2, 30, 35)
    for results in (batch, encoded):
        np.testing.assert_array_equal(results["SemanticPredictions"][0], labels)
        np.testing.assert_allclose(results["SemanticProbabilities"][0], probabilities, atol=1e-5)
    inside = json.loads((folder / "net_savedmodel" / "assets" / "metadata.json").read_text())
    assert inside["class_names"] == NAMES


def _call(session, signature, value):
    [given] = signature.inputs.values()
    fetches = {key: info.name for key, info in signature.outputs.items()}
    return session.run(fetches, {given.name: value})


def test_tflite_files_take_images_of_the_crop_size(exported):
    folder, described = exported
    for name, entry in described["artifacts"].items():
        if not name.startswith("tflite"):
            continue
        assert entry["inputs"]["ImageTensor"]["shape"] == [1, *CROP, 3]
        with tflite.opened(str(folder / entry["file"])) as run_tflite:
            labels, probabilities = run_tflite(small_data.pixels(5, *CROP))
        assert labels.shape == CROP
        np.testing.assert_allclose(probabilities.sum(2), 1, atol=0.05)
        dtype = "uint8" if has_new_tflite_converter() else "float32"
        assert entry["inputs"]["ImageTensor"]["dtype"] == dtype
    sizes = [described["artifacts"][name]["bytes"] for name in ("tflite", "tflite_float16")]
    assert sizes[1] < 0.6 * sizes[0]


def test_the_graph_for_atc_has_one_size_and_whole_numbers(exported):
    folder, described = exported
    entry = described["artifacts"]["atc_graph"]
    assert entry["inputs"]["ImageTensor"] == {"dtype": "int32", "shape": [1, *CROP, 3]}
    assert entry["outputs"]["SemanticPredictions"] == {"dtype": "int32", "shape": [1, *CROP]}
    script = (folder / "net_atc.sh").read_text()
    assert "atc --model=net_atc.pb --framework=3 --output=net" in script
    assert "--input_shape=ImageTensor:1,33,41,3" in script
    assert '--soc_version="${SOC_VERSION:-Ascend310}"' in script


def test_metadata_travels_inside_the_frozen_graph(exported):
    folder, described = exported
    graph_def = tf.GraphDef()
    graph_def.ParseFromString((folder / "net.pb").read_bytes())
    constants = {node.name: node for node in graph_def.node if node.op == "Const"}
    inside = json.loads(tf.make_ndarray(constants[graph.METADATA].attr["value"].tensor).item())
    assert inside["class_names"] == NAMES
    assert inside["preprocessing"] == described["preprocessing"]
    assert "artifacts" not in inside


def test_normalization_is_stated_as_factor_and_summand(exported):
    stated = exported[1]["preprocessing"]["normalization"]
    np.testing.assert_allclose(stated["scale"], [2 / 255] * 3, rtol=1e-6)
    assert stated["shift"] == [-1.0] * 3
    assert stated["order"] == "RGB"


def test_images_standardized_as_other_frameworks_do_are_exported_alike(tmp_path):
    options = SMALL.replace(normalization="bgr_imagenet")
    checkpoint_path = save_checkpoint(tmp_path, len(NAMES), options)
    described = export(
        None,
        tmp_path / "net.pb",
        **options.to_dict(),
        checkpoint_path=checkpoint_path,
        crop_size=CROP,
        format=("frozen", "tflite"),
    )
    stated = described["preprocessing"]
    deviation, mean = np.array([0.229, 0.224, 0.225]), np.array([0.485, 0.456, 0.406])
    scale, shift = (stated["normalization"][name] for name in ("scale", "shift"))
    assert stated["normalization"]["order"] == "BGR"
    np.testing.assert_allclose(scale, 1 / (255 * deviation[::-1]), rtol=1e-6)
    np.testing.assert_allclose(shift, (-mean / deviation)[::-1], rtol=1e-5)
    np.testing.assert_allclose(stated["pad_color"], 255 * mean, rtol=1e-6)
    for name in ("frozen", "tflite"):
        assert described["artifacts"][name]["check"]["label_agreement"] >= 0.999, name
    # Smaller than the crop, so that the pad colour counts.
    image = small_data.pixels(0, 25, 30)
    settings = {"config": config_of(options, eval_crop_size=CROP)}
    with segmenter.load(checkpoint_path, **settings) as loaded:
        expected = loaded.segment(image, probabilities=True).probabilities
    with segmenter.load(str(tmp_path / "net.pb")) as loaded:
        found = loaded.segment(image, probabilities=True).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of an export of a published checkpoint."""
    folder = tmp_path_factory.mktemp("published")
    described = export(
        None,
        folder / "dm05.pb",
        depth_multiplier=0.5,
        output_stride=8,
        checkpoint_path=resources.pretrained("deeplabv3_mnv2_dm05_pascal"),
        crop_size=(257, 257),
        format=["frozen", "tflite"],
    )
    assert described["class_names"][15] == "person"
    return folder


def test_labels_of_a_published_checkpoint_survive_the_way(published):
    photo = resources.data_folder("voc") / "crops513" / "0_image.png"
    labels = resources.data_folder("golden_deeplab_dm05") / "labels" / "dm05_os8_257"
    with graph.opened(str(published / "dm05.pb")) as run_frozen, Image.open(photo) as image:
        # Shrunk by Pillow as the reference's labels were made, not by the graph.
        small = image.convert("RGB").resize((257, 257), Image.BILINEAR)
        found = run_frozen(np.asarray(small))[0]
    enlarged = Image.fromarray(found.astype(np.uint8)).resize((513, 513), Image.NEAREST)
    with Image.open(labels / "voc_crops513" / "0.png") as reference:
        assert np.mean(np.asarray(enlarged) == np.asarray(reference)) >= 0.999


def test_tflite_gives_the_labels_of_the_published_tflite_file(published):
    checkpoint_path = resources.pretrained("deeplabv3_mnv2_dm05_pascal")
    path = os.path.join(os.path.dirname(checkpoint_path), "deeplabv3_257_mv_gpu.tflite")
    reference = tf.lite.Interpreter(model_path=path)
    reference.allocate_tensors()
    [given], [result] = reference.get_input_details(), reference.get_output_details()
    photos = [
        *sorted((resources.data_folder("voc") / "crops513").glob("*_image.png"))[:2],
        *sorted((resources.data_folder("voc") / "VOC2012" / "JPEGImages").glob("*.jpg"))[:2],
        *sorted(resources.data_folder("coco_tiny_train").glob("*/train2017/*.jpg"))[:4],
    ]
    assert len(photos) == 8
    with tflite.opened(str(published / "dm05.tflite")) as run_tflite:
        for photo in photos:
            with Image.open(photo) as image:
                image = resize.fit(np.asarray(image.convert("RGB")), (257, 257), [127.5] * 3)[0]
            reference.set_tensor(given["index"], np.float32(image[np.newaxis]) * (2 / 255) - 1)
            reference.invoke()
            expected = reference.get_tensor(result["index"])[0].argmax(2)
            assert np.mean(run_tflite(image)[0] == expected) >= 0.999, photo


@pytest.mark.slow
@pytest.mark.parametrize("variant", network.shared_backbones())
def test_every_backbone_can_be_exported_in_every_format(variant, tmp_path):
    options = NetworkSpec.of(
        model_variant=variant, atrous_rates=(2, 3), decoder_output_stride=(4,), output_stride=16
    )
    if 4 not in network.BACKBONES[variant].low_level_strides:
        options = options.replace(decoder_output_stride=(8,))
    checkpoint_path = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        network.build(tf.zeros([1, 65, 65, 3]), options, 5, crop_size=(65, 65))
        golden_logits.load_weights(session)
        tf.train.Saver().save(session, checkpoint_path, write_meta_graph=False)
    formats = ["frozen", "savedmodel", "tflite", "om"]
    if importlib.util.find_spec("tf2onnx"):
        formats.append("onnx")
    described = export(
        None,
        tmp_path / "net.pb",
        **options.to_dict(),
        checkpoint_path=checkpoint_path,
        crop_size=(65, 65),
        format=formats,
        inference_scales=(0.75, 1.0),
        add_flipped_images=True,
    )
    checks = {name: entry["check"] for name, entry in described["artifacts"].items()}
    assert all(check["done"] for check in checks.values())


def test_check_images_can_be_a_split(run, tmp_path):
    records = small_data.make_records(tmp_path / "data", val=3)
    described = export(
        run,
        tmp_path / "net.pb",
        dataset_dir=records,
        num_check_images=2,
    )
    assert described["check_images"] == {"count": 2, "source": f"split val of {records}"}


def test_the_graph_with_variables_is_written_when_asked_for(exported):
    assert "moving_variance" in (exported[0] / "inference_graph.pbtxt").read_text()


def test_disagreement_is_an_error_that_leaves_what_was_there(run, tmp_path, monkeypatch):
    (tmp_path / "net.pb").write_text("an earlier export")
    monkeypatch.setattr(
        check, "compare", lambda *_: {"max_difference": float("nan"), "label_agreement": 0.5}
    )
    with pytest.raises(UserError, match=r"frozen .*nan.*50\.000%"):
        export(run, tmp_path / "net.pb")
    assert os.listdir(tmp_path) == ["net.pb"]
    assert (tmp_path / "net.pb").read_text() == "an earlier export"


FAKE_ATC = """#!/bin/sh
echo "$@" > arguments.txt
{ending}
"""


@pytest.fixture
def fake_atc(tmp_path, monkeypatch):
    """Puts a program called atc on the path; call it with the program's end."""

    def install(ending):
        program = tmp_path / "bin" / "atc"
        program.parent.mkdir()
        program.write_text(FAKE_ATC.format(ending=ending))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.mark.once
def test_atc_is_run_where_it_is_installed(run, tmp_path, fake_atc):
    fake_atc("cp arguments.txt net.om; mkdir kernel_meta")
    described = export(run, tmp_path / "out" / "net.pb", format=["om"], soc_version="Ascend910")
    assert sorted(os.listdir(tmp_path / "out")) == [
        "net.json",
        "net.om",
        "net_atc.pb",
        "net_atc.sh",
    ]
    arguments = (tmp_path / "out" / "net.om").read_text().split()
    assert arguments == [
        "--model=net_atc.pb",
        "--framework=3",
        "--output=net",
        "--input_shape=ImageTensor:1,33,41,3",
        "--input_format=NHWC",
        "--out_nodes=SemanticPredictions:0;SemanticProbabilities:0",
        "--soc_version=Ascend910",
    ]
    assert described["artifacts"]["om"]["check"]["done"] is False


@pytest.mark.once
def test_a_failure_of_atc_is_an_error_with_what_it_said(run, tmp_path, fake_atc):
    fake_atc("echo E10001 no such soc; exit 3")
    with pytest.raises(UserError, match=r"atc failed with status 3(.|\n)*E10001 no such soc"):
        export(run, tmp_path / "out" / "net.pb", format=["om"])
    assert not (tmp_path / "out").exists()


def test_onnx_agrees_too(run, tmp_path):
    pytest.importorskip("tf2onnx", reason="requirements/export.txt is not installed")
    import onnx

    described = export(run, tmp_path / "net.pb", format=["onnx"], inference_scales=(0.5, 1.25))
    assert described["artifacts"]["onnx"]["check"]["label_agreement"] >= 0.999
    loaded = onnx.load(str(tmp_path / "net.onnx"))
    onnx.checker.check_model(loaded, full_check=True)
    assert [value.name for value in loaded.graph.input] == ["ImageTensor"]
    names = {"SemanticPredictions", "SemanticProbabilities"}
    assert {value.name for value in loaded.graph.output} == names
    assert json.loads(loaded.metadata_props[0].value)["class_names"] == NAMES


def test_onnx_without_its_packages_is_refused_before_anything_is_built(run, tmp_path, monkeypatch):
    for package in ("onnx", "tf2onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=r"--format=onnx needs onnx, (onnxruntime, )?tf2onnx"):
        export(run, tmp_path / "net.pb", format=["onnx"])


def test_a_missing_package_keeps_no_other_format_back(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match="exported frozen, but: --format=onnx needs .*tf2onnx"):
        export(run, tmp_path / "net.pb", format=("frozen", "onnx"), num_check_images=1)
    assert (tmp_path / "net.pb").exists()
    assert "net.onnx" not in (tmp_path / "net.json").read_text()


@pytest.mark.skipif(has_new_tflite_converter(), reason="TensorFlow 2 can write them")
def test_whole_numbers_are_refused_where_the_converter_cannot(run, tmp_path):
    with pytest.raises(OptionError, match="--representative_images"):
        export(run, tmp_path / "a.pb", format=["tflite"], representative_images=str(tmp_path))


def test_files_of_an_earlier_export_are_named(run, tmp_path, caplog):
    (tmp_path / "net.onnx").write_text("")
    export(run, tmp_path / "net.pb")
    assert "net.onnx in" in caplog.text
    assert "no longer described by net.json" in caplog.text


@pytest.mark.slow
def test_the_8_bit_file_is_left_out_aloud_without_images(run, tmp_path, caplog):
    described = export(run, tmp_path / "net.pb", format=["tflite"])
    assert list(described["artifacts"]) == ["tflite", "tflite_float16"]
    assert "net_int8.tflite is not written: it needs --representative_images" in caplog.text


def test_an_unwritable_folder_is_an_error(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the folder of --export_path"):
        export(run, tmp_path / "file" / "net.pb")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"export_path": ""}, "--export_path is missing"),
        ({"checkpoint_path": "a"}, "both are given"),
        ({"checkpoint_dir": None}, "neither is given"),
        ({"checkpoint_dir": None, "checkpoint_path": "a", "checkpoint": "3"}, "leave one of them"),
    ],
)
def test_a_missing_flag_is_an_error(run, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        export(run, tmp_path / "net.pb", **options)


@pytest.mark.parametrize("name", ["rank", "precision_mode"])
def test_an_export_is_one_process_in_full_precision(run, tmp_path, name):
    with pytest.raises(OptionError, match=name):
        export(run, tmp_path / "net.pb", **{name: 2})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": ()}, "--format is empty"),
        ({"checkpoint": "last"}, "--checkpoint is 'last', but must be newest, best or a step"),
        ({"format": ("om", "om")}, "--format=om,om names a format twice"),
        ({"crop_size": (513,)}, "--crop_size has 1 values, but needs 2"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(values, message):
    with pytest.raises(OptionError, match=message):
        ExportOptions(**values)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(run, tmp_path, monkeypatch):
    def save(*unused):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(graph, "save", save)
    with pytest.raises(UserError, match="No space left on device; free some space or name"):
        export(run, tmp_path / "out" / "net.pb")
    assert os.listdir(str(tmp_path)) == []


def test_averages_of_the_weights_are_exported_on_request(run, tmp_path):
    checkpoint = save_checkpoint(tmp_path, 3, factor=-1.0, averages=True)
    options = {"crop_size": CROP, "use_ema": True, **SMALL.to_dict()}
    described = export(None, tmp_path / "net.pb", checkpoint_path=checkpoint, **options)
    assert described["checkpoint"]["use_ema"] is True
    image = small_data.pixels(0, *CROP)
    settings = {"config": config_of(SMALL, eval_crop_size=CROP)}
    with segmenter.load(str(tmp_path / "net.pb")) as loaded:
        found = loaded.segment(image, probabilities=True).probabilities
    for use_ema in (True, False):
        with segmenter.load(checkpoint, use_ema=use_ema, **settings) as loaded:
            other = loaded.segment(image, probabilities=True).probabilities
        assert np.allclose(found, other, atol=1e-5) == use_ema
    with pytest.raises(UserError, match="leave out --use_ema"):
        export(run, tmp_path / "net.pb", use_ema=True)


def test_a_checkpoint_of_another_network_is_an_error(run, tmp_path):
    with pytest.raises(UserError, match="does not fit the network"):
        export(
            run,
            tmp_path / "net.pb",
            aspp_convs_filters=24,
            change_network=True,
        )
    assert os.listdir(tmp_path) == []


def test_a_flag_that_contradicts_the_saved_network_is_an_error(run, tmp_path):
    with pytest.raises(OptionError, match="--output_stride=8 .saved: 16. contradicts"):
        export(run, tmp_path / "net.pb", output_stride=8)


def test_another_number_of_classes_is_an_error(run, tmp_path):
    with pytest.raises(UserError, match="4 outputs .* 21 classes.*--num_classes"):
        export(run, tmp_path / "net.pb", num_classes=21)


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        export(None, tmp_path / "net.pb", checkpoint_path=str(tmp_path / "model.ckpt-1"))


@pytest.mark.parametrize(
    ("which", "message"),
    [("7", r"holds no checkpoint of step 7; there are"), ("best", "no best checkpoint")],
)
def test_a_checkpoint_that_a_run_does_not_have_is_an_error(run, tmp_path, which, message):
    with pytest.raises(UserError, match=message):
        export(run, tmp_path / "net.pb", checkpoint=which)


def test_a_folder_without_images_is_an_error(run, tmp_path):
    with pytest.raises(UserError, match=r"--check_images=.* holds no image"):
        export(run, tmp_path / "net.pb", check_images=str(tmp_path))


def test_a_damaged_image_is_an_error_that_names_it(run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"--check_images.*bad\.png"):
        export(run, tmp_path / "net.pb", check_images=str(tmp_path))


def test_the_flag_names_every_format():
    (field,) = [field for field in dataclasses.fields(ExportOptions) if field.name == "format"]
    assert all(name in field.metadata["help"] for name in exporter.FORMATS)


def test_a_format_of_another_name_is_an_error(run, tmp_path):
    with pytest.raises(OptionError, match="pickle .*--format.* frozen"):
        export(run, tmp_path / "net.pb", format=("pickle",))


def test_the_command_accepts_the_flags_of_the_reference():
    reference = resources.golden_json("flags.json")["entries"]["export_model"]
    # Accepted with a notice: it belongs to training.
    assert set(reference) - set(accepted_flags("export")) == {"label_weights"}


@pytest.mark.once
def test_the_command_ends_with_status_2_for_a_refused_value(tmp_path):
    result = subprocess.run(
        [sys.executable, "export_model.py", "--crop_size=0", f"--export_path={tmp_path}/a.pb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "Error: --crop_size" in result.stderr
