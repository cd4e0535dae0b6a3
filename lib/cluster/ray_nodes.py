"""Waiting for the nodes of a Ray cluster that is being started: python -m lib.cluster.ray_nodes COUNT SECONDS."""

import os
import sys
import time


def wait_for_nodes(address: str, count: int, seconds: float) -> int:
    """Wait until `count` nodes live in the cluster at `address`, or `seconds` are over; how many do then.

    0 where no cluster answers; the reason is printed.
    """
    import ray

    end = time.monotonic() + seconds
    while not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # not up yet, for which Ray has several errors, plain ones among them
            if time.monotonic() > end:
                print(f"no Ray cluster answers at {address}: {error}", file=sys.stderr, flush=True)
                return 0
            time.sleep(0.5)
    while (alive := len([node for node in ray.nodes() if node["Alive"]])) < count and time.monotonic() < end:
        time.sleep(0.5)
    ray.shutdown()
    return alive


if __name__ == "__main__":
    wanted, seconds = int(sys.argv[1]), float(sys.argv[2])
    found = wait_for_nodes(os.environ["RAY_ADDRESS"], wanted, seconds)
    print(f"the Ray cluster at {os.environ['RAY_ADDRESS']} has {found} of {wanted} nodes", flush=True)
    if not found:
        sys.exit("no Ray cluster came up; the output above says why")
    # Those that are missing may join late: the run goes on with what is there, and uses them when they come.
