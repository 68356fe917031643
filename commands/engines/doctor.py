"""Checks what a run needs: Python and its packages, TensorFlow, device, data, checkpoint."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import common
from commands.engines import machine
from commands.engines.machine import Finding
from options.config import Config
from utils.version import VERSION

_PACKAGES = ("absl", "jinja2", "numpy", "PIL", "tensorflow", "tf_slim")
# Checks that need TensorFlow, in a module of their own: here it may be missing.
_WITH_TENSORFLOW = "commands.engines.doctor_tensorflow"


def main(config: Config):
    """Checks everything and prints what it found.

    The exit status is 1 if a run would fail.
    """
    findings = [Finding("DeepLabV3", f"version {VERSION}"), *_python(), *_tensorflow()]
    check_adapter = check_gpus = None
    if not any(finding.is_failure for finding in findings):
        checks = importlib.import_module(_WITH_TENSORFLOW)
        findings += checks.check(config)
        check_adapter, check_gpus = checks.adapter, checks.gpus
    findings += machine.ascend(config.device, config.ranks, check_adapter)
    findings += machine.nvidia(config.device, check_gpus)
    _show(findings)
    if any(finding.is_failure for finding in findings):
        sys.exit(common.STATUS_FAILURE)


def _show(findings):
    for finding in findings:
        mark = "FIX" if finding.is_failure else "note" if finding.remedy else "ok"
        print(f"{mark:4s}  {finding.what}: {finding.result}")
        if finding.remedy:
            print(f"      {finding.remedy}")
    failed = sum(finding.is_failure for finding in findings)
    print(f"{failed} of {len(findings)} checks failed." if failed else "All checks passed.")


def _python() -> list:
    version = ".".join(str(part) for part in sys.version_info[:3])
    remedy = "" if sys.version_info >= (3, 7) else "Use Python 3.7 or newer."
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    packages = Finding("packages", "all installed")
    if missing:
        packages = Finding(
            "packages",
            f"{', '.join(missing)} not found",
            "scripts/environment.sh makes an environment with all of them, from requirements/.",
        )
    return [Finding("Python", f"{version}, {sys.executable}", remedy), packages]


def _tensorflow() -> list:
    if importlib.util.find_spec("tensorflow") is None:
        return []
    try:
        compat = importlib.import_module("utils.compat")
    except Exception as error:  # Whatever a damaged installation raises is the finding.
        return [Finding("TensorFlow", f"cannot be imported ({error})", "Install it again.")]
    remedy = "" if compat.is_tested() else "Only 1.15.5, 2.6.5 and 2.21 are tested."
    kernels = "oneDNN" if compat.uses_onednn() else "Eigen"
    found = f"{compat.tf.__version__}, CPU kernels from {kernels}"
    return [Finding("TensorFlow", found, remedy, is_fatal=False)]
