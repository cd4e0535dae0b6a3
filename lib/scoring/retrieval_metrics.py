"""How well found documents fit those that were judged relevant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from lib.errors import InputError
from lib.scoring.probabilities import FloatArray

Qrels = Mapping[str, Mapping[str, int]]
"""Query -> document -> grade; 1 and more is relevant, what is not there is not."""

Ranking = Mapping[str, Sequence[str]]
"""Query -> documents, best first."""


@dataclass(frozen=True, kw_only=True)
class RetrievalMetrics:
    """Values of the judged queries, and what they rest on.

    queries: [n] in the order of the qrels. values: name -> [n] in [0, 1], the names `ndcg@k`, `recall@k`, `mrr@k` for
    each cutoff k, and `map`. empty: judged queries for which nothing was found: they count as 0. unjudged: queries with
    results but no qrels: they are left out.
    """

    queries: tuple[str, ...]
    values: Mapping[str, FloatArray]
    empty: int
    unjudged: int

    @property
    def means(self) -> dict[str, float]:
        """Name -> mean over the judged queries."""
        return {name: float(values.mean()) for name, values in self.values.items()}


def retrieval_metrics(qrels: Qrels, ranking: Ranking, *, cutoffs: Sequence[int] = (10,)) -> RetrievalMetrics:
    """Measure a ranking, as trec_eval does (through ir-measures).

    nDCG: the grade is the gain, discounted by log2(rank + 1) (Järvelin and Kekäläinen 2002). recall: share of the
    relevant documents among the first k. MRR: 1 / rank of the first relevant one, 0 below k. MAP: over all that was
    found. A query whose documents are all of grade 0 has 0 everywhere, as in trec_eval.

    Only the order of the documents counts, and a document may come only once: raises InputError otherwise, and where
    there are no qrels.
    """
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    if not qrels:
        raise InputError("no qrels: retrieval can't be measured without a judged query")
    names: dict[ir_measures.Measure, str] = {AP: "map"}
    for k in cutoffs:
        names |= {nDCG @ k: f"ndcg@{k}", R @ k: f"recall@{k}", RR @ k: f"mrr@{k}"}
    run: dict[str, dict[str, float]] = {}
    for query in qrels:
        documents = ranking.get(query, ())
        # The evaluators sort by score, and equal scores by the documents' names: falling ranks keep our order.
        run[query] = {document: -float(rank) for rank, document in enumerate(documents)}
        if len(run[query]) < len(documents):
            twice = next(d for i, d in enumerate(documents) if d in documents[:i])
            raise InputError(f"query {query}: document {twice} was found twice; a ranking names each document once")
    # Grades below 0 (spam) are what trec_eval takes for "not judged".
    judged = {query: {d: max(grade, 0) for d, grade in grades.items()} for query, grades in qrels.items()}
    row = {query: number for number, query in enumerate(qrels)}
    values = {name: np.zeros(len(qrels)) for name in names.values()}
    for metric in ir_measures.iter_calc(list(names), judged, run):
        values[names[metric.measure]][row[metric.query_id]] = metric.value
    return RetrievalMetrics(
        queries=tuple(qrels),
        values=MappingProxyType(values),
        empty=sum(not documents for documents in run.values()),
        unjudged=sum(query not in qrels for query in ranking),
    )
