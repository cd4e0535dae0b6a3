import numpy as np
import pyarrow as pa
import pytest

from lib.errors import InputError
from lib.pipeline.leaderboard.ballots import ballots_of


def block(rows, **more):
    """rows: (model_a, model_b, outcome, question's hash)."""
    a, b, outcome, question = zip(*rows, strict=True)
    columns = {"model_a": a, "model_b": b, "outcome": outcome, "question": pa.array(question, pa.int64()), **more}
    return pa.table({**columns, "error": more.get("error", pa.nulls(len(rows), pa.string()))})


def test_blocks_share_their_models_and_questions():
    ballots = ballots_of([block([("x", "y", "A", 7)]), block([("z", "x", "tie", 7), ("y", "z", "B", 8)])])
    votes = ballots.votes([], position=False)
    assert votes.names == ("x", "y", "z")
    assert (votes.first.tolist(), votes.second.tolist()) == ([0, 2, 1], [1, 0, 2])
    assert votes.question.tolist() == [7, 7, 8]
    assert votes.outcomes.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert votes.weight is None


def test_a_vote_without_a_question_is_about_its_own_and_without_any_there_are_none():
    known = ballots_of([block([("x", "y", "A", None), ("x", "y", "B", 9)]), block([("x", "y", "A", None)])])
    assert len(set(known.votes([], position=False).question.tolist())) == 3
    assert ballots_of([block([("x", "y", "A", None)] * 2)]).votes([], position=False).question is None


def test_what_does_not_count_is_counted():
    rows = [("x", "y", "A", 1), ("x", "w", "both_bad", 1), ("x", "y", "B", 2), ("v", "y", "A", 2)]
    errors = pa.array([None, None, None, "v: odd"], pa.string())
    weights = pa.array([2.0, 1.0, 0.0, 1.0])
    ballots = ballots_of([block(rows, weight=weights, error=errors)], drop_both_bad=True)
    assert ballots.left_out == {"rows that can't be used": 1, "votes that both are bad": 1, "votes of weight 0": 1}
    votes = ballots.votes([], position=True)
    assert votes.names == ("x", "y")
    assert votes.weight.tolist() == [2]
    assert votes.covariates["position"].tolist() == [1]
    assert ballots_of([block(rows)]).votes([], position=False).outcomes[1].tolist() == [0, 0, 1]
    with pytest.raises(InputError, match="no vote can be used: 4 rows that can't be used"):
        ballots_of([block(rows, error=pa.array(["odd"] * 4))])


def test_a_category_has_only_its_own_models_and_its_own_standard_deviations():
    rows = [("x", "y", "A", 1), ("x", "z", "B", 1), ("y", "x", "A", 2), ("y", "x", "B", 2)]
    counts = {"length_a": pa.array([3, 9, 1, 2]), "length_b": pa.array([1, 1, 1, 8])}
    ballots = ballots_of([block(rows, category=pa.array(["math", "code", "math", None]), **counts)])
    assert ballots.categories == ("math", "code")
    math = ballots.votes(["length"], position=False, category=0)
    assert math.names == ("x", "y")
    np.testing.assert_allclose(math.covariates["length"], [1, -1])  # shares of 0.5 and 0
    assert len(ballots.votes([], position=False).first) == 4


def test_probabilities_of_a_judge_count_in_part():
    table = block([("x", "y", "A", 1)]).drop_columns("outcome")
    for name, value in (("p_a", 0.5), ("p_b", 0.2), ("p_tie", 0.3)):
        table = table.append_column(name, pa.array([value]))
    assert ballots_of([table]).votes([], position=False).outcomes.tolist() == [[0.5, 0.2, 0.3]]
