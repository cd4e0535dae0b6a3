"""The jobs, a file each: `overnight`, or `python -m jobs`, lists them. Here is in which order.

Nothing is imported here: each job's file imports what it needs.
"""

GROUPS = {
    "Ask models about the rows of a table": ("judge", "arena", "generate", "grade", "tournament"),
    "Answer from documents": ("rag", "chunk", "embed", "retrieve", "rerank"),
    "Before, during and after a run": ("plan", "submit", "status", "cancel", "merge", "view", "export", "store"),
    "Measure, calibrate, rank": ("evaluate", "calibrate", "leaderboard"),
    "Models": ("fetch", "memory", "quantize"),
}
"""What the jobs are for -> their names."""
