"""Calls of tools by vLLM's own parsers: what holds a text to calls, and what is one in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.errors import ConfigError
from lib.types import Completion, ToolCall

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser.abstract_parser import Parser


@dataclass(frozen=True)
class ToolRequest:
    """A request with tools, as vLLM's server makes it, and the parser of its answer."""

    parser: "Parser"
    request: "ChatCompletionRequest"

    @property
    def params(self) -> dict[str, Any]:
        """SamplingParams that the parser wants, by name."""
        return {
            "structured_outputs": self.request.extract_structured_outputs(),
            "skip_special_tokens": self.request.skip_special_tokens,
        }

    def read(self, found: Completion) -> Completion:
        """The same text without the calls in it, and these. A text that called something ended for that reason."""
        _, text, calls = self.parser.parse(
            found.text, self.request, enable_auto_tools=True, model_output_token_ids=found.tokens
        )
        told = [ToolCall(call.name, call.arguments) for call in calls or ()]
        if self.request.parallel_tool_calls is False:
            told = told[:1]
        choice = self.request.tool_choice
        called = bool(told) if choice == "auto" else choice == "required" and found.finish_reason == "stop"
        reason = "tool_calls" if called else found.finish_reason
        return Completion(text or "", found.tokens, reason, found.logprobs, told)


class ToolReader:
    """One of vLLM's parsers, by its name."""

    def __init__(self, name: str, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Raises ConfigError for a name that vLLM doesn't know, and where the parser can't do with the tokenizer."""
        from vllm.parser.parser_manager import ParserManager
        from vllm.tool_parsers import ToolParserManager

        if name not in (known := ToolParserManager.list_registered()):
            raise ConfigError(f"engine.tool_parser={name}: vLLM's parsers are {', '.join(sorted(known))}")
        try:
            self._parser = ParserManager.get_parser(tool_parser_name=name, enable_auto_tools=True, tokenizer=tokenizer)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"engine.tool_parser={name}: can't read this model's texts: {error}") from error
        self._tokenizer = tokenizer

    def request(self, tools: str, constraint: Mapping[str, Any]) -> ToolRequest:
        """A request. tools: as of Sampling. constraint: what the text has to keep to, as StructuredOutputsParams.

        A parser is of one text.
        """
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        asked = ChatCompletionRequest(messages=[], structured_outputs=constraint or None, **json.loads(tools))
        parser = self._parser(self._tokenizer, asked.tools)
        return ToolRequest(parser, parser.adjust_request(asked))
