"""Keeps the import rule of docs/architecture.md: arrows only point down."""

import ast
import importlib.util
import pathlib
import sys

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each layer may import of this project. Entries without a dot stand for all below them.
MAY_IMPORT = {
    "entry points": {"commands"},
    "programs": {
        "programs",
        "commands",
        "common",
        "core",
        "datasets",
        "deployment",
        "options",
        "utils",
    },
    "commands": {"commands", "core", "datasets", "deployment", "options", "common", "utils"},
    "core": {"core", "options", "common", "utils", "deployment.backend"},
    "datasets": {"datasets", "options", "common", "utils"},
    "deployment": {"deployment", "options", "common", "utils"},
    "options": {"options", "common", "utils.errors", "utils.variants"},
    "common": {"utils.console", "utils.errors", "utils.files"},
    "utils": {"utils"},
    "tests": {
        "tests",
        "programs",
        "commands",
        "common",
        "core",
        "datasets",
        "deployment",
        "options",
        "utils",
    },
}
# What each layer may import of other people's packages.
MAY_IMPORT_PACKAGES = {
    "entry points": set(),
    "programs": {"absl", "numpy", "PIL"},
    "commands": {"absl", "numpy", "PIL"},
    "core": {"absl", "numpy", "PIL", "scipy"},
    "datasets": {"absl", "numpy", "PIL", "pycocotools", "scipy"},
    "deployment": {"absl", "numpy"},
    "options": {"absl"},
    "common": {"absl"},
    "utils": {"absl.logging", "numpy", "PIL", "jinja2"},
    "tests": {"absl", "numpy", "PIL", "pytest", "pycocotools", "scipy"},
}
# Packages that one file or folder stands for.
ONLY_IN = {
    "tensorflow": "utils/compat.py",
    "tf_slim": "utils/compat.py",
    "onnx": "core/export/onnx_model.py",
    "onnxruntime": "core/export/onnx_model.py",
    "tf2onnx": "core/export/onnx_model.py",
    "npu_bridge": "deployment/devices/npu.py",
    "npu_device": "deployment/devices/npu.py",
    "zlib_ng": "utils/imaging/masks.py",
    "torch": ("benchmarks/training_of_torch.py", "benchmarks/peers/"),
    "keras": "benchmarks/peers/",
    "h5py": "core/checkpoints/convert/keras_hdf5.py",
    "matplotlib": "core/training/rate_chart.py",
}
# What tests may import of them, for what it checks and for the stand-ins of a vendor's packages.
ONLY_IN_TESTS = {
    "tensorflow": "tests/npu_adapter/",
    "npu_device": "tests/npu_adapter/",
    "h5py": "tests/core/checkpoints/",
    "onnx": "tests/test_export_model.py",
    "tf2onnx": "tests/test_export_model.py",
}
# Options that nothing but their own check reads, each with the reason why it exists at all.
READ_BY_NOBODY = {
    "label_format": "masks are PNG; the flag is the reference's",
    "segmentation_format": "masks are PNG; the flag is the reference's",
    "vis_batch_size": "images go one by one; other values are refused",
}

ALL_FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*/**/*.py")]
    if not path.relative_to(ROOT).parts[0].startswith((".", "demo", "runs"))
)
# What is not a test.
FILES = [name for name in ALL_FILES if not name.startswith("tests/")]
ALL_TREES = {name: ast.parse((ROOT / name).read_text(encoding="utf-8")) for name in ALL_FILES}
TREES = {name: ALL_TREES[name] for name in FILES}


def module_of(file):
    """Returns the dotted name that a file is imported by."""
    parts = file[: -len(".py")].split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Modules below the top that only start a verb, as the scripts at the top do.
SHIMS = {"datasets.audit.__main__", "datasets.convert.__main__", "deployment.launch.__main__"}
MODULES = {module_of(file) for file in ALL_FILES}
# Folders without an __init__.py are modules too, as far as an import goes.
OWN = {name.split(".")[0] for name in MODULES}


def layer_of(module):
    """Returns the row of the table above that a module of this project belongs to."""
    first = module.split(".")[0]
    if module in SHIMS:
        return "entry points"
    if first in MAY_IMPORT:
        return first
    return "programs" if first in ("benchmarks", "scripts") else "entry points"


def imports_of(tree):
    """Returns the dotted names that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            # `from core import model` imports a module, `from core.network import logits` a name.
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in MODULES else node.module for name in submodules)
            if node.module == "absl":
                found.discard("absl")
                found.update(submodules)
    return found


def is_own(name):
    return name.split(".")[0] in OWN


def is_standard(package):
    """Returns whether a package comes with Python."""
    if package in sys.builtin_module_names:
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and "site-packages" not in (spec.origin or "site-packages")


def allowed(name, entries):
    return any(name == entry or name.startswith(entry + ".") for entry in entries)


def forbidden_imports(file, tree):
    """Returns what a file imports against the rule, of this project and of others."""
    layer = layer_of(module_of(file))
    return sorted(
        name
        for name in imports_of(tree)
        if not (_own_is_allowed(name, layer) if is_own(name) else _other_is_allowed(name, file))
    )


def _own_is_allowed(name, layer):
    entries = MAY_IMPORT[layer]
    return allowed(name, entries) or allowed(layer_of(name), entries)


def _other_is_allowed(name, file):
    package = name.split(".")[0]
    if package in ONLY_IN:
        places = [ONLY_IN[package], ONLY_IN_TESTS.get(package)]
        return any(file.startswith(place) for place in places if place is not None)
    layer = layer_of(module_of(file))
    return is_standard(package) or allowed(name, MAY_IMPORT_PACKAGES[layer])


@pytest.mark.parametrize("file", ALL_FILES)
def test_imports_point_down(file):
    forbidden = forbidden_imports(file, ALL_TREES[file])
    assert not forbidden, f"{file} may not import {forbidden}: see docs/architecture.md"


@pytest.mark.parametrize(
    ("file", "line", "name"),
    [
        ("core/new.py", "from datasets.pipeline import input_fn", "datasets.pipeline.input_fn"),
        ("core/new.py", "from deployment.devices import gpu", "deployment.devices.gpu"),
        ("core/new.py", "from tests import small_data", "tests.small_data"),
        ("core/export/new.py", "import tensorflow as tf", "tensorflow"),
        ("utils/new.py", "import scipy.ndimage", "scipy.ndimage"),
        ("datasets/new.py", "from core.network import logits", "core.network"),
        ("options/new.py", "from utils.compat import tf", "utils.compat"),
        ("options/new.py", "import numpy", "numpy"),
        ("datasets/formats/new.py", "import deployment.backend", "deployment.backend"),
        ("deployment/new.py", "from datasets import known", "datasets.known"),
        ("deployment/new.py", "import npu_bridge.npu_init", "npu_bridge.npu_init"),
        ("utils/new.py", "import common", "common"),
        ("utils/new.py", "from absl import flags", "absl.flags"),
        ("common.py", "from utils import log", "utils.log"),
        ("common.py", "import numpy", "numpy"),
        ("benchmarks/new.py", "from tests.small_networks import SMALL", "tests.small_networks"),
        ("benchmarks/new.py", "import torch", "torch"),
        ("scripts/new.py", "import tf_slim", "tf_slim"),
        ("train_npu.py", "import requests", "requests"),
        ("train_npu.py", "from core import network", "core.network"),
        ("core/new.py", "from commands import running", "commands.running"),
        ("tests/core/test_new.py", "import tensorflow", "tensorflow"),
    ],
)
def test_an_import_against_the_rule_is_found(file, line, name):
    inside = f"def function():\n    {line}\n"
    for text in (line, inside):
        assert forbidden_imports(file, ast.parse(text)) == [name]


# The folders of core/ and its modules, from the bottom up: none imports what stands above it.
CORE_LAYERS = (
    {"layers"},
    {"backbones", "architectures", "losses", "metrics", "task"},
    {"network"},
    {"checkpoints"},
    {"runs"},
    {"inference"},
    {"evaluation", "export"},
    {"training"},
)


def core_layer_of(module):
    """Returns the number of the row above that a module belongs to; None outside of core/."""
    parts = module.split(".")
    if parts[0] != "core" or len(parts) == 1:
        return None
    (row,) = [number for number, row in enumerate(CORE_LAYERS) if parts[1] in row]
    return row


def upward_imports(file, tree):
    """Returns what a file of core/ imports from above it."""
    own = core_layer_of(module_of(file))
    found = {name: core_layer_of(name) for name in imports_of(tree) if name in MODULES}
    return sorted(name for name, row in found.items() if row is not None and row > own)


CORE_FILES = [file for file in FILES if core_layer_of(module_of(file)) is not None]


@pytest.mark.parametrize("file", CORE_FILES)
def test_imports_inside_core_point_down(file):
    assert upward_imports(file, TREES[file]) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/checkpoints/restore.py", "from core.training import step"),
        ("core/losses/new.py", "from core import network"),
        ("core/network.py", "from core.checkpoints import restore"),
        ("core/evaluation/new.py", "import core.training.loop"),
        ("core/layers/new.py", "from core import task"),
    ],
)
def test_an_import_that_points_up_inside_core_is_found(file, line):
    assert len(upward_imports(file, ast.parse(line))) == 1


def circles(imports):
    """Returns the circles of modules, each as a sorted list.

    Args:
      imports: Module -> the modules that it imports.
    """
    reached = {}
    for module in imports:
        ahead, seen = list(imports[module]), set()
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += imports.get(name, ())
        reached[module] = seen
    found = {
        tuple(sorted(other for other in reached[module] if module in reached.get(other, ())))
        for module in imports
        if module in reached[module]
    }
    return sorted(list(circle) for circle in found)


def test_a_circle_is_found():
    imports = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"d"}, "e": {"a", "d"}}
    assert circles(imports) == [["a", "b", "c"], ["d"]]


def test_no_modules_import_each_other_in_a_circle():
    imports = {
        module_of(file): {name for name in imports_of(tree) if name in MODULES}
        for file, tree in TREES.items()
    }
    assert circles(imports) == []


@pytest.mark.parametrize("file", FILES)
def test_a_module_says_what_it_is(file):
    docstring = ast.get_docstring(TREES[file])
    assert docstring, f"{file} has no docstring"
    assert docstring.split("\n")[0].endswith((".", ":")), f"{file}: not a sentence"


def test_every_package_has_an_init_file():
    # Without one, an installed package of the same name (datasets, utils...) would win.
    folders = {pathlib.PurePosixPath(file).parent for file in FILES if "/" in file}
    missing = [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()]
    assert missing == []


@pytest.mark.parametrize("file", [file for file in FILES if file != "common.py"])
def test_global_flags_are_read_in_common_only(file):
    # Entry points are handed the parsed flags by common.run.
    for node in ast.walk(TREES[file]):
        name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", None)))
        assert name != "FLAGS", f"{file}:{node.lineno}: take an options record as an argument"


@pytest.mark.parametrize("file", [file for file in FILES if file != "utils/compat.py"])
def test_versions_of_tensorflow_are_compared_in_compat_only(file):
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Compare):
            names = {getattr(part, "attr", getattr(part, "id", None)) for part in ast.walk(node)}
            version = names & {"VERSION", "__version__", "GIT_VERSION"}
            assert not version, f"{file}:{node.lineno}: make it a function of utils/compat.py"


def option_fields(trees):
    """Returns option name -> the class that defines it."""
    found = {}
    for tree in trees:
        for record in ast.walk(tree):
            if isinstance(record, ast.ClassDef):
                for node in record.body:
                    if isinstance(node, ast.AnnAssign) and _is_option(node.value):
                        found[node.target.id] = record
    return found


def _is_option(value):
    if not isinstance(value, ast.Call):
        return False
    return getattr(value.func, "attr", getattr(value.func, "id", None)) == "option"


def names_read(trees, outside):
    """Returns the attribute names read anywhere but in the checks of the given classes.

    Names that are called are left out too: `dataset.shard(...)` does not read an option `shard`.
    """
    checks = [
        node
        for record in outside
        for node in record.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("check", "_check"))
    ]
    inside = {part for check in checks for part in ast.walk(check)}
    found = set()
    for tree in trees:
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node not in inside and node not in called:
                found.add(node.attr)
    return found


def test_an_option_that_only_its_own_record_reads_is_found():
    text = """
class Records:
    one: int = option(flags.DEFINE_integer, 1, "Read below.")
    other: int = common.option(flags.DEFINE_integer, 1, "Read by nobody.")

    def check(self):
        return self.other

def use(options, data):
    return options.one + data.other(3)
"""
    tree = ast.parse(text)
    fields = option_fields([tree])
    assert set(fields) == {"one", "other"}
    assert set(fields) - names_read([tree], outside=set(fields.values())) == {"other"}


def test_every_option_is_read_by_somebody():
    fields = option_fields(TREES.values())
    assert len(fields) > 90
    read = names_read(TREES.values(), outside=set(fields.values()))
    assert sorted(set(fields) - read - set(READ_BY_NOBODY)) == []
    assert sorted(set(READ_BY_NOBODY) - set(fields)) == []
