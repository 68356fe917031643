"""The steps of .ci/run and .ci/release-check: every outcome is told, and one failure is enough."""

import pathlib
import re
import subprocess

import pytest

import common

pytestmark = pytest.mark.once

ROOT = pathlib.Path(common.__file__).resolve().parent


def run(tmp_path, script, **settings):
    """Runs lines of a script that sources the steps; returns its exit status and output."""
    text = f"set -uo pipefail\nlogs={tmp_path}\nsource .ci/steps.sh\n{script}\nshow_summary\n"
    result = subprocess.run(
        ["bash", "-c", text + 'exit "$failed"\n'], cwd=ROOT, stdout=subprocess.PIPE, **settings
    )
    return result.returncode, result.stdout.decode()


def test_a_failed_step_is_told_and_the_next_ones_run(tmp_path):
    closing = "====== 1 failed, 2 passed in 3.00s ======"
    status, output = run(
        tmp_path, f"step 'One two' bash -c 'echo {closing}; exit 3'\nstep Three echo fine"
    )
    assert status == 1
    first, second = output.splitlines()[-2:]
    assert re.fullmatch(r"One two +FAILED +\d+ s  1 failed, 2 passed in 3.00s", first)
    assert re.fullmatch(r"Three +ok +\d+ s", second.rstrip())
    assert (tmp_path / "One-two.log").read_text() == closing + "\n"
    assert (tmp_path / "Three.log").read_text() == "fine\n"


def test_steps_that_end_well_give_status_zero(tmp_path):
    status, output = run(tmp_path, "step One true\ntarget Two help")
    assert status == 0
    assert "===== Two: make --no-print-directory help" in output
    assert "FAILED" not in output


def test_a_step_that_takes_too_long_is_ended(tmp_path):
    status, output = run(tmp_path, "step_limit=0.005\nstep Slow sleep 60", timeout=30)
    assert status == 1
    assert "FAILED (took too long)" in output.splitlines()[-1]


def test_resources_are_found_beside_a_checkout_or_missed(tmp_path):
    (tmp_path / "golden").mkdir()
    script = f"unset DEEPLAB_GOLDEN DEEPLAB_DATA\nfind_resources {tmp_path}\nenv"
    _, output = run(tmp_path, script)
    assert f"\nDEEPLAB_GOLDEN={tmp_path}/golden\n" in output
    assert f"WARNING: DEEPLAB_DATA is not set and {tmp_path}/data is not there" in output


@pytest.mark.parametrize("change", ["none", "untracked", "changed"])
def test_files_that_are_not_in_the_commit_are_named(tmp_path, change):
    def git(*arguments):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "--quiet")
    (tmp_path / "known").write_text("a")
    git("add", "known")
    git("commit", "--quiet", "--message=First")
    if change != "none":
        (tmp_path / ("new" if change == "untracked" else "known")).write_text("b")
    result = subprocess.run([ROOT / ".ci" / "unchanged", tmp_path], stdout=subprocess.PIPE)
    assert result.returncode == (change != "none")
    named = {"none": b"", "untracked": b"?? new\n", "changed": b" M known\n"}[change]
    assert result.stdout.endswith(named)
    assert bool(result.stdout) == bool(named)


def test_the_check_of_a_release_refuses_an_unknown_option():
    result = subprocess.run([ROOT / ".ci" / "release-check", "--fast"], capture_output=True)
    assert result.returncode == 2
    assert b"'--fast' is no option" in result.stderr
