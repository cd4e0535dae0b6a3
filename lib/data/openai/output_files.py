"""The files that answer an OpenAI batch file: its outputs and its errors, in the order of the input.

Both hold lines {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}, as OpenAI's files
do: also a failed request has a response, whose body says {"error": {"message", "type", "param", "code"}}. Ids follow
from the run's fingerprint and the custom_id (of a line without one: its place), so that the same run gives the same
files. The custom_id of a line that can't be read is null.
"""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lib.data.atomic import atomic_path
from lib.data.manifest import Manifest
from lib.data.openai.response_bodies import BODIES
from lib.data.parquet import batches
from lib.data.rows.openai_batch import BODY, CUSTOM_ID, METHOD, URL
from lib.data.run_folder import MANIFEST, OPENAI_ERRORS, OPENAI_OUTPUT, RESULT
from lib.types import REFUSED

_BLOCK_ROWS = 1024


def is_batch(manifest: Manifest) -> bool:
    """Whether a run answers an OpenAI batch file."""
    return manifest.identity.get("data.url") in BODIES


def write_openai_files(manifest: Manifest, folder: Path) -> tuple[int, int]:
    """Write `openai_output.jsonl` and `openai_errors.jsonl` from `result.parquet`; returns the lines of both.

    The run must be of an OpenAI batch file (`is_batch`), and merged. `created` is when it was planned.
    """
    write_body = BODIES[manifest.identity["data.url"]]
    created = int((folder / MANIFEST).stat().st_mtime)
    engine = manifest.identity.get("engine.model") or manifest.identity["engine.type"]
    counts = [0, 0]
    with (
        atomic_path(folder / OPENAI_OUTPUT) as output_path,
        atomic_path(folder / OPENAI_ERRORS) as errors_path,
        output_path.open("w", encoding="utf-8") as output,
        errors_path.open("w", encoding="utf-8") as errors,
    ):
        for batch in batches(folder / RESULT, _BLOCK_ROWS):
            for row in batch.to_pylist():
                failed = row["error"] is not None
                key = _hash(manifest.fingerprint, row["id"] or f"row {row['row']} of {row['file']}")
                if failed:
                    status, body = _error(row["error"])
                else:
                    about = {"created": created, "model": row["model"] or engine}
                    status, body = 200, write_body(row, key, about, f"fp_{manifest.fingerprint[:10]}")
                line = {
                    "id": f"batch_req_{key}",
                    "custom_id": row["id"],
                    "response": {"status_code": status, "request_id": f"req_{key}", "body": body},
                    "error": None,
                }
                (errors if failed else output).write(json.dumps(line, ensure_ascii=False) + "\n")
                counts[failed] += 1
    return counts[0], counts[1]


def _hash(fingerprint: str, name: str) -> str:
    return blake2b(f"{fingerprint}:{name}".encode(), digest_size=12).hexdigest()


def _error(reason: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a failed request: 400 where it is the request's own fault, else 500."""
    own_fault = reason.startswith(("line ", REFUSED, *(f"{key}: " for key in (CUSTOM_ID, METHOD, URL, BODY))))
    status, name = (400, "invalid_request_error") if own_fault else (500, "server_error")
    return status, {"error": {"message": reason, "type": name, "param": None, "code": None}}
