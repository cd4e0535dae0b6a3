"""All benchmarks, one after the other: `make bench`. Copy what they print into RESULTS.md."""

from tests.bench import label_logprobs, million_rows, runner

for bench in (label_logprobs, runner, million_rows):
    print(f"\n## {bench.__name__.rsplit('.', 1)[-1]}\n\n{bench.__doc__}")
    bench.main()
