"""The front door: `python seg.py VERB --flags`; without a verb it lists them."""

from commands import running

if __name__ == "__main__":
    running.front_door()
