"""The requests about a row, made again from the run's config: the prompts as the model got them."""

from dataclasses import dataclass
from functools import cached_property

from lib.engines.base import ModelConfig
from lib.errors import InputError
from lib.pipeline.run import Recipe
from lib.pipeline.viewing.source_rows import SourceRows
from lib.types import Tokenizer


@dataclass(frozen=True)
class RequestsAgain:
    """Loads the tokenizer when it is asked first, and no model."""

    recipe: Recipe
    rows: SourceRows

    def texts(self, number: int, row: int) -> list[str]:
        """Each request about row `row` of an input, special tokens included; none where no model was asked.

        Raises InputError where nothing was asked about this row.
        """
        engine = self.recipe.engine
        if not isinstance(engine, ModelConfig):
            return []
        table = self.rows.table(number, row)
        if (error := table["error"][0].as_py()) is not None:
            raise InputError(f"nothing was asked about this row: {error}")
        prepared = self.recipe.task.prepare(table, self._tokenizer, engine.max_tokens)
        return [self._tokenizer.decode(self._tokens(request)) for request in prepared.requests]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        assert isinstance(self.recipe.engine, ModelConfig)
        return self.recipe.engine.load_tokenizer()

    def _tokens(self, request: object) -> list[int]:
        """The tokens of a request; of a pair that is compared, without where the first text ends."""
        found = request[0] if isinstance(request, tuple) else request
        assert isinstance(found, list)
        return found
