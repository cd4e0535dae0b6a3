import json

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lib.data.battle_files.annotations import read_annotations
from lib.errors import InputError
from lib.report.battles import annotators
from lib.report.battles.annotators import agreement_lines, measure_agreement, render_agreement
from tests.scoring.test_agreement import FLEISS, KRIPPENDORFF


def read(tmp_path, header, rows):
    (tmp_path / "a.csv").write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return read_annotations(str(tmp_path / "a.csv"))


def test_krippendorffs_example_from_a_file(tmp_path):
    rows = [[f"unit {n}", *(value or "" for value in unit)] for n, unit in enumerate(KRIPPENDORFF.T)]
    found = measure_agreement(read(tmp_path, ["id", *(f"label_{name}" for name in "ABCD")], rows))
    alphas = {name: one.value for name, one in found.alphas.items()}
    assert alphas == pytest.approx({"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}, abs=5e-4)
    assert (found.items, found.rated, found.ratings, found.annotators) == (12, 11, 41, 4)
    assert found.fleiss is None
    both = KRIPPENDORFF[:2, (KRIPPENDORFF[:2] > 0).all(axis=0)]
    pair = found.pairs[0]
    assert (pair.first, pair.second, pair.items) == ("A", "B", 9)
    assert pair.agreement.value == pytest.approx(8 / 9)
    assert pair.kappas["none"].value == pytest.approx(cohen_kappa_score(*both, labels=[1, 2, 3, 4, 5]))
    assert pair.kappas["linear"].value == pytest.approx(
        cohen_kappa_score(*both, weights="linear", labels=[1, 2, 3, 4, 5])
    )
    assert "– (items have unequally many ratings)" in "\n".join(agreement_lines(found))
    for low, value, high in [(one.low, one.value, one.high) for one in found.alphas.values()]:
        assert low < value < high <= 1


def test_fleisss_table_from_a_file(tmp_path):
    rows = [
        [n, f"rater {number}", f"diagnosis {category}"]
        for n, counts in enumerate(FLEISS.astype(int))
        for number, category in enumerate(np.repeat(np.arange(5), counts))
    ]
    found = measure_agreement(read(tmp_path, ["id", "annotator", "label"], rows))
    assert found.fleiss.value == pytest.approx(0.430, abs=5e-4)
    assert found.fleiss.low < 0.43 < found.fleiss.high
    assert set(found.alphas) == {"nominal"}  # words have no order
    assert set(found.pairs[0].kappas) == {"none"}
    assert len(found.pairs) == 15
    content = json.loads(json.dumps(found.content(), allow_nan=False))
    assert content["fleiss_kappa"]["value"] == found.fleiss.value


def test_rows_about_one_question_are_one_cluster(tmp_path):
    rng = np.random.default_rng(0)
    rows = [[f"{n}", f"q{n % 6}", *rng.choice(["A", "B", "tie"], 2)] for n in range(60)]
    found = measure_agreement(read(tmp_path, ["id", "question", "label_x", "label_y"], rows))
    assert (found.by, found.clusters) == ("question", 6)
    assert "Intervals: 95 %, by question (6)." in agreement_lines(found)
    assert "They are labels: A, tie, B, in this order." in agreement_lines(found)


def test_full_agreement_is_no_certainty(tmp_path):
    found = measure_agreement(read(tmp_path, ["id", "label_x", "label_y"], [["1", "A", "A"], ["2", "B", "B"]]))
    assert (found.fleiss.value, found.fleiss.low) == (1, None)
    assert found.pairs[0].agreement.low < 0.2


def test_of_many_annotators_those_with_most_ratings_are_paired(tmp_path, monkeypatch):
    monkeypatch.setattr(annotators, "MOST_IN_PAIRS", 2)
    rows = [
        ["1", "few", "A"],
        ["1", "some", "A"],
        ["2", "some", "B"],
        ["1", "<most>", "A"],
        ["2", "<most>", "A"],
        ["3", "<most>", "A"],
    ]
    found = measure_agreement(read(tmp_path, ["id", "annotator", "label"], rows))
    assert [(pair.first, pair.second) for pair in found.pairs] == [("some", "<most>")]
    page = render_agreement(found, "x")
    assert "some, &lt;most&gt;" in page
    assert "Every two of the 2 annotators with most ratings." in page


def test_one_rating_an_item_tells_nothing(tmp_path):
    with pytest.raises(InputError, match="no item has ratings by two annotators"):
        measure_agreement(read(tmp_path, ["id", "annotator", "label"], [["1", "x", "A"], ["2", "y", "A"]]))
