"""Samples as lm-eval logs them: a line of JSON each, with its field names and its hashes."""

import json
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from lib.data.atomic import atomic_path
from lib.pipeline.exporting.samples import Sample


def write_lm_eval(task: str, when: datetime, found: Iterable[Sample], out: Path) -> Path:
    """Write `samples_<task>_<date>.jsonl` into a folder; the file. A row without an answer has an empty one, and its
    `error`."""
    place = out / f"samples_{task}_{when.isoformat().replace(':', '-')}.jsonl"
    with atomic_path(place) as temporary, temporary.open("w", encoding="utf-8") as file:
        for sample in found:
            file.write(json.dumps(_line(sample), ensure_ascii=False, default=str) + "\n")
    return place


def _line(sample: Sample) -> dict[str, Any]:
    doc = {"id": sample.id, **sample.columns}
    prompt = "\n\n".join(text for _, text in sample.messages)
    answers = list(sample.answers) or [""]
    read = sample.verdict if sample.verdict is not None else answers[0] if len(answers) == 1 else answers
    metric = {} if sample.score is None else {"acc" if sample.target else "grade": sample.score}
    return {
        "doc_id": sample.number,
        "doc": doc,
        "target": sample.target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
        "resps": [answers],
        "filtered_resps": [read],  # of the one request
        "filter": "none",
        "metrics": list(metric),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False, default=str)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(sample.target),
        **metric,
        **({} if sample.error is None else {"error": sample.error}),
    }


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
