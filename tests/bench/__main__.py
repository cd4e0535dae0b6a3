"""All benchmarks, each in a process of its own: `make bench`. Copy what they print into RESULTS.md."""

import subprocess
import sys

from tests.bench import (
    coverage,
    driver,
    embedding,
    exact_search,
    idle_tail,
    label_logprobs,
    leaderboard,
    million_rows,
    ray_data,
    reading,
    refusals,
    runner,
    second_night,
    viewer,
    vllm_judge,
)

if __name__ == "__main__":
    for bench in (
        label_logprobs,
        embedding,
        exact_search,
        runner,
        vllm_judge,
        ray_data,
        idle_tail,
        reading,
        million_rows,
        second_night,
        driver,
        leaderboard,
        coverage,
        viewer,
        refusals,
    ):
        name = bench.__name__.rsplit(".", 1)[-1]
        print(f"\n## {name}\n\n{bench.__doc__}", flush=True)
        subprocess.run([sys.executable, "-m", bench.__name__], check=True)
