import math

import numpy as np
import pytest

from lib.data.qrels import read_qrels
from lib.errors import InputError
from lib.scoring.retrieval_metrics import retrieval_metrics


def independent(grades, documents, k):
    """nDCG@k, recall@k, MRR@k and average precision of one query, as the definitions say."""
    relevant = {d for d, grade in grades.items() if grade > 0}
    gains = [max(grades.get(d, 0), 0) for d in documents[:k]]
    dcg = sum(g / math.log2(rank + 1) for rank, g in enumerate(gains, 1))
    ideal = sorted((max(g, 0) for g in grades.values()), reverse=True)[:k]
    best = sum(g / math.log2(rank + 1) for rank, g in enumerate(ideal, 1))
    ranks = [rank for rank, d in enumerate(documents, 1) if d in relevant]
    precisions = [(i + 1) / rank for i, rank in enumerate(ranks)]
    return (
        dcg / best if best else 0.0,
        sum(rank <= k for rank in ranks) / len(relevant) if relevant else 0.0,
        1 / ranks[0] if ranks and ranks[0] <= k else 0.0,
        sum(precisions) / len(relevant) if relevant else 0.0,
    )


def by_hand(qrels, ranking, k):
    rows = [independent(grades, list(ranking.get(query, ())), k) for query, grades in qrels.items()]
    return dict(zip((f"ndcg@{k}", f"recall@{k}", f"mrr@{k}", "map"), np.array(rows).T, strict=True))


@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_all_measures_equal_their_definitions_on_random_rankings(k):
    rng = np.random.default_rng(k)
    pool = [f"d{i}" for i in range(60)]
    qrels = {
        f"q{q}": {d: int(rng.choice([-2, 0, 1, 2, 3])) for d in rng.choice(pool, rng.integers(1, 15), replace=False)}
        for q in range(40)
    }
    ranking = {query: list(rng.permutation(pool)[: rng.integers(0, 40)]) for query in list(qrels)[:35]}
    metrics = retrieval_metrics(qrels, ranking, cutoffs=[k])
    expected = by_hand(qrels, ranking, k)
    assert metrics.queries == tuple(qrels)
    assert set(metrics.values) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(metrics.values[name], values, atol=1e-12, err_msg=name)
        assert metrics.means[name] == pytest.approx(values.mean())


def test_scifact_qrels_with_a_ranking_of_words_in_common(shared):
    import json

    qrels = read_qrels(str(shared / "scifact/qrels_test.tsv"))
    assert len(qrels) == 300
    assert sum(map(len, qrels.values())) == 339
    words = {}
    for line in (shared / "scifact/corpus.jsonl").read_text().splitlines():
        document = json.loads(line)
        words[document["_id"]] = set(document["title"].lower().split())
    ranking = {}
    for line in (shared / "scifact/queries_test.jsonl").read_text().splitlines():
        query = json.loads(line)
        asked = set(query["text"].lower().split())
        found = sorted(words, key=lambda d: -len(words[d] & asked) / math.sqrt(1 + len(words[d])))
        ranking[query["_id"]] = found[:50]
    metrics = retrieval_metrics(qrels, ranking)
    for name, values in by_hand(qrels, ranking, 10).items():
        np.testing.assert_allclose(metrics.values[name], values, atol=1e-12, err_msg=name)
    assert 0.1 < metrics.means["ndcg@10"] < 0.6


def test_a_hand_worked_query():
    metrics = retrieval_metrics({"q": {"x": 2, "y": 1, "z": 0}}, {"q": ["z", "x", "w", "y"]}, cutoffs=[3, 4])
    dcg = 2 / math.log2(3)
    ideal = 2 + 1 / math.log2(3)
    assert metrics.means == pytest.approx(
        {
            "map": (1 / 2 + 2 / 4) / 2,
            "ndcg@3": dcg / ideal,
            "recall@3": 1 / 2,
            "mrr@3": 1 / 2,
            "ndcg@4": (dcg + 1 / math.log2(5)) / ideal,
            "recall@4": 1,
            "mrr@4": 1 / 2,
        }
    )


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_given_order_decides_whatever_the_documents_are_called(names):
    relevant, other = names
    metrics = retrieval_metrics({"q": {relevant: 1}}, {"q": [other, relevant]}, cutoffs=[1, 2])
    assert [metrics.means[name] for name in ("recall@1", "recall@2", "mrr@2", "map")] == [0, 1, 0.5, 0.5]


def test_a_long_ranking_keeps_its_order():
    documents = [f"d{i}" for i in range(30_000)]
    metrics = retrieval_metrics({"q": {"d29999": 1}}, {"q": documents})
    assert metrics.means["map"] == pytest.approx(1 / 30_000, abs=1e-12)


def test_queries_without_results_count_as_0_and_those_without_qrels_not_at_all():
    qrels = {"found": {"x": 1}, "empty": {"x": 1}, "absent": {"x": 1}}
    metrics = retrieval_metrics(qrels, {"found": ["x"], "empty": [], "other": ["x"], "more": []})
    assert (metrics.empty, metrics.unjudged) == (2, 2)
    for name in ("ndcg@10", "recall@10", "mrr@10", "map"):
        assert metrics.values[name].tolist() == [1, 0, 0]
        assert metrics.means[name] == pytest.approx(1 / 3)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="query q: document x was found twice"):
        retrieval_metrics({"q": {"x": 1}}, {"q": ["y", "x", "x"]})
    with pytest.raises(InputError, match="no qrels"):
        retrieval_metrics({}, {"q": ["y"]})
