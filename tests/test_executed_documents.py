"""Runs every command and every Python block of the documents, on small data.

Each page is run in a copy of the example project (`tests.example_project`), its blocks in their
order. A command that cannot run everywhere stands in `EXCUSED` with the reason; what a person would
wait hours for is made small by the flags of `SMALLER`. All other commands run as they stand, and
no entry of the tables is without a command.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import common
from tests import example_project
from tests.warm_python import WarmPython
from utils import compat

pytestmark = pytest.mark.once

ROOT = pathlib.Path(common.__file__).parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
SECONDS = 240

NETWORK = "--depth_multiplier=0.25 --aspp_convs_filters=8"
TRAINING = "--training_number_of_steps=2 --train_crop_size=65,65 --train_batch_size=2 --device=cpu"

# Pattern of a command -> why it is not run.
EXCUSED = {
    r"^make demo$": "minutes; the check of a release runs it",
    r"--device=npu": "needs an NPU",
    r"--device=gpu": "needs a GPU",
    r"^scripts/environment\.sh gpu": "downloads gigabytes",
    r"^docker ": "needs Docker and downloads",
    r"-m datasets\.fetch": "downloads; tests/datasets/test_fetch.py has a server of its own",
    r"--hosts=": "needs two hosts; tests/test_two_hosts.py makes them",
    r"^(for host in|done$|wait$)": "the loop around ssh",
    r"-m benchmarks\.training_step\b": "minutes; tests/benchmarks runs it small",
    r"pretrained/model\.ckpt": (
        "needs weights of torchvision; tests/commands/engines/test_convert_weights.py writes some"
    ),
}
# Pattern of a command -> flags that are added to it, which win over its own.
SMALLER = {
    # The weights that are shipped are those of the whole network.
    r"train_npu\.py .*runs/first": f"{TRAINING} {NETWORK} --init=random",
    r"train_npu\.py .*runs/camvid": f"{TRAINING} {NETWORK}",
    r"seg\.py lr_find": (
        f"{NETWORK} --find_steps=3 --train_crop_size=65,65 --train_batch_size=2 --device=cpu "
        "--nopicture"
    ),
    r"seg\.py train .*runs/(salt|overlap)": (
        f"{TRAINING} --depth_multiplier=0.25 --unet_decoder_filters=8,8,8,8,8 "
        "--tf_initial_checkpoint= --eval_interval_steps=2 --save_checkpoints_steps=2"
    ),
    r"train_npu\.py .*runs/a ": f"{TRAINING} {NETWORK} --eval_crop_size=65,65",
    r"train_npu\.py .*runs/two": f"{TRAINING} {NETWORK}",
    r"checkpoint_tool\.py": (
        "--checkpoint_path=runs/camvid/model.ckpt-2 --compact_to=small/model.ckpt"
    ),
    r"export_model\.py .*dm05_pascal": NETWORK,
    r"-m benchmarks\.networks": "--variants=resnet_v1_18 --crop_size=65,65",
}
# Words of a command -> what stands for them here.
IN_PLACE_OF = {"/etc/hccn.conf": "hccn.conf"}
# Page -> what its reader has done before.
BEFORE = {
    "docs/prediction.md": (
        "python export_model.py --checkpoint_dir=runs/first --export_path=network.pb"
    ),
}
# Pages whose processes load TensorFlow anew, or build many networks.
SLOW = ("docs/distributed.md", "docs/launching.md", "docs/networks.md")
# Scripts show their command instead of running it; tests/scripts/test_recipes.py runs them.
DRY = r"(^| )scripts/(run|test)_\w+\.sh"
# A folder that a command makes.
MAKES = r"--(?:output_dir|train_logdir)=(\S+)"


on_the_default_tensorflow = pytest.mark.skipif(
    compat.VERSION < (2, 9), reason="documents are run on the default TensorFlow"
)


def pages():
    return [
        pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page
        for page in PAGES
        if blocks(page)
    ]


def blocks(page):
    """Returns (language, text) of each block of code, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(
        r"^```(bash|sh|console|python)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL
    )


def commands(text):
    """Returns the commands of a block, each on one line and without its remark."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    lines = [re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines]
    return [line for line in lines if line]


def all_commands():
    found = [block for page in PAGES for block in blocks(page)]
    return [
        command for language, text in found if language != "python" for command in commands(text)
    ]


def matching(table, command):
    return [pattern for pattern in table if re.search(pattern, command)]


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    # Not below pytest's folder, whose name is too long for a socket.
    with WarmPython(tmp_path_factory.mktemp("warm")) as server:
        yield server


@pytest.fixture(scope="module")
def example(warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("example") / "project"
    folder.mkdir()
    example_project.copy_checkout(folder)
    example_project.make(folder)
    for name in ("bin", ".venv/bin"):
        warm.install(folder / name / "python")
    return folder


@pytest.fixture
def project(example, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(str(example), str(folder))
    return folder


def run(command, project):
    """Runs a command in a project; fails with all that it said."""
    for made in re.findall(MAKES, command):
        # Commands of a page may be alternatives that write to one folder.
        shutil.rmtree(str(project / made), ignore_errors=True)
    extra = " ".join(SMALLER[pattern] for pattern in matching(SMALLER, command))
    for words, others in IN_PLACE_OF.items():
        command = command.replace(words, others)
    command = re.sub(r"^make ", "make --dry-run ", f"{command} {extra}".strip())
    variables = {**os.environ, "PATH": f"{project / 'bin'}:{os.environ['PATH']}"}
    if re.search(DRY, command):
        variables["DRY_RUN"] = "1"
    with open(str(project / "said.txt"), "wb") as said:
        # A file and not a pipe: of a process that outlives its command nothing is waited for.
        status = subprocess.call(
            ["bash", "-c", command],
            cwd=str(project),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=SECONDS,
        )
    assert status == 0, f"{command}\n{(project / 'said.txt').read_text(errors='replace')}"


def run_python(text, project):
    (project / "block.py").write_text(text)
    run("python block.py", project)


@on_the_default_tensorflow
@pytest.mark.parametrize("page", pages())
def test_every_command_of_a_page_works(page, project):
    if page in BEFORE:
        run(BEFORE[page], project)
    for language, text in blocks(page):
        if language == "python":
            run_python(text, project)
            continue
        for command in commands(text):
            if not matching(EXCUSED, command):
                run(command, project)


@pytest.mark.parametrize("pattern", [*EXCUSED, *SMALLER, *IN_PLACE_OF])
def test_every_entry_of_the_tables_has_a_command(pattern):
    assert any(re.search(pattern, command) for command in all_commands()), pattern


@on_the_default_tensorflow
def test_a_command_with_a_wrong_flag_is_found(project):
    with pytest.raises(AssertionError, match="no_such_flag"):
        run("python eval.py --no_such_flag=1", project)
