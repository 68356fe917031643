"""One rank without TensorFlow: meets the others, says so, then does what its argument says."""

import os
import sys
import time

from deployment.ranks import handshake, membership
from utils.errors import UserError


def main():
    does, join_seconds, version = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    place = membership.from_environment(os.environ)
    try:
        monitor = handshake.meet(
            place, {"TensorFlow": version}, join_seconds=join_seconds, silence_seconds=2.0
        )
        print("met", flush=True)
        if does == "fails":
            monitor.fail(f"rank {place.rank} stopped: no space left.")
        elif does == "ends":
            total = monitor.exchange("numbers", place.rank, sum)
            monitor.leave()
            print(total)
        elif does == "waits":
            monitor.exchange("what never comes", None, list)
        else:
            # As in a collective whose other side is gone.
            time.sleep(60)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
