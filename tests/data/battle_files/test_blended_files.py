from pathlib import Path

import pytest

from lib.data.battle_files.blended_files import blend_submissions
from lib.errors import ConfigError, InputError

HEADER = "id,winner_model_a,winner_model_b,winner_tie\n"


def csv(path: Path, body: str) -> Path:
    path.write_text(HEADER + body)
    return path


def test_blend_aligns_by_id_and_keeps_the_order_of_the_first(tmp_path: Path) -> None:
    a = csv(tmp_path / "a.csv", "x,1,0,0\ny,0,1,0\n")
    b = csv(tmp_path / "b.csv", "y,0,0,1\nx,0,1,0\n")
    blend = blend_submissions([a, b], [0.6, 0.4], tmp_path / "new" / "out.csv")
    assert blend.ids.to_pylist() == ["x", "y"]
    assert blend.probabilities.tolist() == [[0.6, 0.4, 0.0], [0.0, 0.6, 0.4]]


def test_blend_refuses_other_ids_and_weights_off_the_simplex(tmp_path: Path) -> None:
    a = csv(tmp_path / "a.csv", "x,1,0,0\ny,0,1,0\n")
    b = csv(tmp_path / "b.csv", "z,0,0,1\nx,0,1,0\n")
    c = csv(tmp_path / "c.csv", "x,1,0,0\ny,0,1,0\nw,0,1,0\n")
    for other, why in ((b, r"missing here: \['y'\], missing there: \['z'\]"), (c, r"here: none, .* there: \['w'\]")):
        with pytest.raises(InputError, match=why):
            blend_submissions([a, other], [0.5, 0.5], tmp_path / "out.csv")
    for weights in ([0.6, 0.6], [1.0], [1.5, -0.5]):
        with pytest.raises(ConfigError, match=r"merge\.weights"):
            blend_submissions([a, a], weights, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_blend_does_not_replace_what_it_is_made_of(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "1,1,0,0\n")
    with pytest.raises(ConfigError, match=r"is one of merge\.submissions"):
        blend_submissions([path, path], [0.5, 0.5], tmp_path / "x" / ".." / "a.csv")
    assert path.read_text() == HEADER + "1,1,0,0\n"
