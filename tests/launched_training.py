"""A launcher of a small training that runs during a test."""

import os
import pathlib
import subprocess
import sys
import time

import common

ROOT = pathlib.Path(common.__file__).parent
START_SECONDS = 120
NETWORK = (
    *("--model_variant=mobilenet_v2", "--depth_multiplier=0.25", "--aspp_convs_filters=8"),
    *("--train_crop_size=33,33", "--train_batch_size=1", "--device=cpu", "--intra_op_threads=1"),
)


class Launch:
    """A launcher of a running training."""

    def __init__(
        self,
        folder,
        records,
        *arguments,
        launcher=("--devices=2",),
        prefix=(),
        program="train_npu.py",
    ):
        folder.mkdir(exist_ok=True)
        self.run = folder / "run"
        command = [*prefix, sys.executable, "-m", "deployment.launch", "--device=cpu", *launcher]
        command += [f"--rank_logs={folder / 'logs'}", "--", str(program), *NETWORK]
        command += [f"--dataset_dir={records}", f"--train_logdir={self.run}", *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DEEP")}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self, seconds=START_SECONDS):
        """Returns exit status and standard error."""
        try:
            _, errors = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, errors = self.process.communicate()
            raise AssertionError(f"it did not end in {seconds} s: {errors}") from None
        return self.process.returncode, errors

    def wait_for_checkpoint(self):
        deadline = time.monotonic() + START_SECONDS
        while not list(self.run.glob("model.ckpt-*.index")):
            assert self.process.poll() is None, self.finish()
            assert time.monotonic() < deadline, "no checkpoint came"
            time.sleep(0.2)

    def pid(self, rank):
        """Returns the process id of a rank, found by its environment variables."""
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = path.read_bytes().split(b"\0")
                command = (path.parent / "cmdline").read_bytes()
            except OSError:
                continue
            is_ours = str(self.run).encode() in command and b"deployment.launch" not in command
            if is_ours and f"DEEPLAB_RANK={rank}".encode() in variables:
                return int(path.parent.name)
        raise AssertionError(f"rank {rank} does not run")


def steps(number, every=1):
    """Returns the flags of a training of some steps that saves about every second."""
    return (
        f"--training_number_of_steps={number}",
        f"--iterations_per_loop={every}",
        "--save_interval_secs=1",
    )
