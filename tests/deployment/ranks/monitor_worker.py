"""One rank without TensorFlow: connects, prints "connected", then does what its argument says."""

import os
import sys
import time

from deployment.ranks import handshake, membership, monitor
from utils.errors import UserError

SILENCE_SECONDS = 1.5


def main():
    action = sys.argv[1]
    monitor._HEARTBEAT_SECONDS = 0.3
    monitor._GRACE_SECONDS = 0.3
    place = membership.from_environment(os.environ)
    try:
        connected = handshake.connect(place, {}, join_seconds=20.0, silence_seconds=SILENCE_SECONDS)
        print("connected", flush=True)
        if action == "fails":
            connected.fail(f"rank {place.rank} stopped: no space left.")
        elif action == "waits":
            connected.exchange("values that never come", None, list)
        else:
            # As in a collective whose other side is gone.
            time.sleep(60)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
