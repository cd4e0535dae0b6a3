"""Fixtures of the engines' own tests."""

from tests.engines.conftest import save as save
from tests.engines.sentence_transformers.conftest import bert as bert
