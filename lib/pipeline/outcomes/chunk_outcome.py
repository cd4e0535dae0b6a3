"""Chunks of documents: each is named after its document, so no two documents may have one name."""

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.merging import MergeConfig
from lib.data.reading.intake import read_ids
from lib.errors import InputError
from lib.pipeline.outcomes.base import Outcome
from lib.pipeline.run import Run


class ChunkOutcome(Outcome):
    """Of jobs that cut documents."""

    def check(self, run: Run, config: MergeConfig) -> None:
        """Refuse two documents of one name."""
        ids = pa.concat_arrays([read_ids(file, run.folder, run.data) for file in run.manifest.inputs]).drop_null()
        counts = pc.value_counts(ids)
        if len(counts) < len(ids):
            twice = next(entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1)
            raise InputError(
                f"data.path={run.data.path}: two documents have the same name, so that both have a chunk {twice!r}; "
                "give them other names, or ids (data.id=NAME)"
            )


CHUNKS = ChunkOutcome()
