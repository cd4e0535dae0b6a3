"""The files of a run folder: their names are written down here, and nowhere else."""

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
INPUT = "input"
SHARDS = "shards"
RESULT = "result.parquet"
FAILURES = "failures.parquet"
SUBMISSION = "submission.csv"
OPENAI_OUTPUT = "openai_output.jsonl"
OPENAI_ERRORS = "openai_errors.jsonl"
METRICS = "metrics.json"
REPORT = "report.html"
PROGRESS = "progress.json"
LOG = "log.txt"
STAGES = "stages.json"  # of a job in stages
SUBMIT = "submit"  # scripts, output and code of its submissions to a cluster
