"""Reads the log of an evaluation and prints the mean IoU.

python cal_miou.py RUN/eval/training.log
"""

from commands import running

if __name__ == "__main__":
    running.start("score")
