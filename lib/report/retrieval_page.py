"""The report of a retrieval run whose queries were judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.data import parquet
from lib.data.qrels import read_qrels
from lib.data.row_names import row_names
from lib.errors import InputError
from lib.report.page import Section, Table, render
from lib.scoring.retrieval_metrics import RetrievalMetrics, retrieval_metrics


def measure_retrieval(result: Path, qrels: str, cutoff: int) -> RetrievalMetrics:
    """Measure a result of `jobs.retrieve` or `jobs.rerank` against judgements.

    Raises InputError where either cannot be read, or they have no query in common.
    """
    if "passage_ids" not in parquet.schema(result).names:
        raise InputError(f"{result}: has no column passage_ids, so it is not of jobs.retrieve or jobs.rerank")
    judged = read_qrels(qrels)
    table = parquet.read(result, ["id", "row", "passage_ids"])
    names = row_names(table["id"], table["row"].to_pylist())
    queries = zip(names, table["passage_ids"].to_pylist(), strict=True)
    ranking = {name: passages or [] for name, passages in queries if name is not None}
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
