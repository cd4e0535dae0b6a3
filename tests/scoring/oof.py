"""Real probabilities with labels, from outside the repository."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PATH = Path(__file__).parents[3] / "shared/data/lmsys_oof/oof_predictions.csv"


def read():
    """Probabilities [14370, 3] (rounded to 4 digits) and labels."""
    if not PATH.exists():
        pytest.skip("needs ../shared/data/lmsys_oof, real out-of-fold predictions that may not be copied")
    table = pd.read_csv(PATH)
    return table[["A", "B", "tie"]].to_numpy(), table["label"].to_numpy().astype(np.int8)
