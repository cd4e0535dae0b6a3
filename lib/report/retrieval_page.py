"""The report of a retrieval run whose queries were judged."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.data.qrels import read_qrels
from lib.data.row_names import row_names
from lib.errors import InputError
from lib.log import log
from lib.report.page import Section, Table, render
from lib.scoring.retrieval_metrics import RetrievalMetrics, retrieval_metrics


def measure_retrieval(result: Path, qrels: str, cutoff: int) -> RetrievalMetrics:
    """Measure a result of `jobs.retrieve` or `jobs.rerank` against judgements.

    Raises InputError where either cannot be read, or they have no query in common.
    """
    if "passage_ids" not in parquet.schema(result).names:
        raise InputError(f"{result}: has no column passage_ids, so it is not of jobs.retrieve or jobs.rerank")
    judged = read_qrels(qrels)
    there = parquet.schema(result).names
    table = parquet.read(result, [name for name in ("id", "row", "passage_ids", "documents") if name in there])
    names = row_names(table["id"], table["row"].to_pylist())
    ranked = _judged_by(table, {document for documents in judged.values() for document in documents}, qrels)
    ranking = {name: passages for name, passages in zip(names, ranked, strict=True) if name is not None}
    if twice := len(names) - names.count(None) - len(ranking):
        raise InputError(
            f"{result}: {twice:,} queries without ids have the row numbers of others, in another file; do the run "
            "again with data.id"
        )
    if not ranking.keys() & judged.keys():
        raise InputError(
            f"{qrels}: judges no query of {result}; the queries' ids there are {list(ranking)[:3]}, here "
            f"{list(judged)[:3]} (data.id names the column of ids)"
        )
    return retrieval_metrics(judged, ranking, cutoffs=(cutoff,))


def _judged_by(table: pa.Table, judged: Set[str], qrels: str) -> list[list[str]]:
    """What was found for each query, called as it is judged: by the ids of passages, or by those of their documents.

    A document that several passages are of counts where the best of them stands. That neither occurs among the judged
    is said: then all figures are 0.
    """
    passages = [ids or [] for ids in table["passage_ids"].to_pylist()]
    if not judged.isdisjoint(each for ids in passages for each in ids):
        return passages
    cells = table["documents"].to_pylist() if "documents" in table.column_names else []
    documents = [list(dict.fromkeys(each for each in ids or [] if each is not None)) for ids in cells]
    if not judged.isdisjoint(each for ids in documents for each in ids):
        log.info("%s: judges documents, of which passages were found: the best passage of each counts", qrels)
        return documents
    found = next((each for ids in passages for each in ids), None)
    log.warning(
        "%s: judges nothing that was found, so that all figures are 0; passages are called as %s, judged ones as %s",
        qrels,
        found,
        min(judged, default=None),
    )
    return passages


def retrieval_content(metrics: RetrievalMetrics) -> dict[str, Any]:
    """For JSON."""
    return {
        **metrics.means,
        "queries": len(metrics.queries),
        "without_results": metrics.empty,
        "not_judged": metrics.unjudged,
    }


def retrieval_lines(metrics: RetrievalMetrics) -> list[str]:
    """The metrics in words."""
    lines = [", ".join(f"{name} {value:.4f}" for name, value in metrics.means.items())]
    others = f", {metrics.unjudged:,} more were not judged" if metrics.unjudged else ""
    lines.append(f"{len(metrics.queries):,} judged queries, {metrics.empty:,} of them without results (0){others}.")
    return lines


def render_retrieval(metrics: RetrievalMetrics, title: str, details: Mapping[str, str]) -> str:
    """A page with the means, and the queries that went worst."""
    first, values = next(iter(metrics.values.items()))
    worst = sorted(zip(values.tolist(), metrics.queries, strict=True))[:20]
    rows = [(query, f"{value:.4f}") for value, query in worst]
    means = [(name, f"{value:.4f}") for name, value in metrics.means.items()]
    sections = [
        Section(heading="Means over the judged queries", table=Table(header=("", "mean"), rows=means)),
        Section(heading=f"Queries with the lowest {first}", table=Table(header=("query", first), rows=rows)),
        Section(heading="About this run", table=Table(header=(), rows=list(details.items()), prose=True)),
    ]
    return render(title, retrieval_lines(metrics), sections)
