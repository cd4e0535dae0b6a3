"""Text that keeps to a choice, a regex or a JSON schema, by xgrammar: what it can't do, and masks for transformers.

JSON is written without blanks and line breaks between its parts: small models would else write them until the end.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.errors import ConfigError, EngineError
from lib.types import Sampling

if TYPE_CHECKING:
    from torch import Tensor
    from xgrammar import CompiledGrammar, GrammarMatcher

# What xgrammar reads past, wholly or for some types (tried out with 0.2.8), or vLLM does not give to it.
_READ_PAST = {"uniqueItems", "contains", "multipleOf", "not", "if", "dependentRequired", "dependentSchemas",
              "dependencies"}  # fmt: skip
_FORMATS = {"email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri",
            "uri-reference", "uri-template", "json-pointer", "relative-json-pointer"}  # fmt: skip
_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}  # hold schemas by name
_DATA = {"enum", "const", "default", "examples"}  # hold no schemas


def check(sampling: Sampling) -> None:
    """Raise ConfigError for a regex or JSON schema that xgrammar can't read, or would not enforce."""
    if sampling.regex is None and sampling.json_schema is None:
        return
    import xgrammar

    if sampling.json_schema is not None and (past := sorted(set(_read_past(json.loads(sampling.json_schema))))):
        raise ConfigError(
            f"generate.json_schema: {', '.join(past)} would not be enforced (xgrammar reads past it); leave it out"
        )
    key = "regex" if sampling.regex is not None else "json_schema"
    try:
        if sampling.regex is not None:
            xgrammar.Grammar.from_regex(sampling.regex)
        else:
            xgrammar.Grammar.from_json_schema(sampling.json_schema or "")
    except RuntimeError as error:
        raise ConfigError(f"generate.{key}={getattr(sampling, key)}: xgrammar can't read it: {error}") from error


def _read_past(schema: object) -> Iterator[str]:
    """Keywords of a schema, and of those in it, that would have no effect."""
    if isinstance(schema, list):
        for item in schema:
            yield from _read_past(item)
    if not isinstance(schema, Mapping):
        return
    yield from _READ_PAST & schema.keys()
    if len(schema.get("allOf", ())) > 1:
        yield "allOf of several"
    if schema.keys() & {"pattern", "format"} and schema.keys() & {"minLength", "maxLength"}:
        yield "pattern or format with minLength or maxLength"
    if isinstance(schema.get("format"), str) and schema["format"] not in _FORMATS:
        yield f"format {schema['format']}"
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, Mapping):
            yield from _read_past(list(value.values()))
        elif keyword not in _DATA:
            yield from _read_past(value)


class Grammars:
    """Compiles what a text has to keep to, once for all texts."""

    def __init__(self, tokenizer: HuggingFaceTokenizer, vocabulary: int, end_tokens: Collection[int]) -> None:
        """vocabulary: how many logits the model has. end_tokens: what may end a text."""
        import xgrammar

        if not end_tokens:
            raise EngineError(
                "the model has no end token, so constrained text could not end; leave out generate.choice, regex and "
                "json_schema"
            )
        tokens = xgrammar.TokenizerInfo.from_huggingface(
            tokenizer.huggingface, vocab_size=vocabulary, stop_token_ids=sorted(end_tokens)
        )
        self._compiler = xgrammar.GrammarCompiler(tokens)  # it remembers what it compiled

    def compile(self, sampling: Sampling) -> "CompiledGrammar":
        """xgrammar's compiled grammar. The sampling is constrained, and has gone through `check`."""
        if sampling.choice:
            # A JSON string is a literal of xgrammar's EBNF too.
            literals = " | ".join(json.dumps(text, ensure_ascii=False) for text in sampling.choice)
            return self._compiler.compile_grammar(f"root ::= {literals}")
        if sampling.regex is not None:
            return self._compiler.compile_regex(sampling.regex)
        assert sampling.json_schema is not None
        return self._compiler.compile_json_schema(sampling.json_schema, any_whitespace=False, separators=(",", ":"))


class Mask:
    """Leaves each row the tokens that its grammar allows next.

    xgrammar.contrib.hf has one as well, which fails where a row is padded that ended before its grammar did: at a stop
    text, or where its token budget ends.
    """

    def __init__(self, grammar: "CompiledGrammar", rows: int, width: int) -> None:
        """width: of the padded prompts."""
        import xgrammar

        self._matchers: list[GrammarMatcher | None] = [xgrammar.GrammarMatcher(grammar) for _ in range(rows)]
        self._vocabulary: int = grammar.tokenizer_info.vocab_size
        self._bits = xgrammar.allocate_token_bitmask(rows, self._vocabulary)
        self._width = width

    def __call__(self, ids: "Tensor", scores: "Tensor") -> "Tensor":
        """scores: [rows, vocabulary]."""
        import xgrammar

        assert scores.shape[1] == self._vocabulary, "the grammar was compiled for another model"
        last: Sequence[int] = ids[:, -1].tolist() if ids.shape[1] > self._width else []
        for row, token in enumerate(last):
            matcher = self._matchers[row]
            if matcher is not None and (not matcher.accept_token(token) or matcher.is_terminated()):
                self._matchers[row] = None  # the row is over
        for row, matcher in enumerate(self._matchers):
            if matcher is None:
                self._bits[row] = -1  # all tokens: what is drawn is thrown away
            else:
                matcher.fill_next_token_bitmask(self._bits, row)
        xgrammar.apply_token_bitmask_inplace(scores, self._bits.to(scores.device))
        return scores
