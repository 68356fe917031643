"""`python -m deployment.launch`: starts the processes of a training."""

from commands import running

if __name__ == "__main__":
    running.start("launch")
