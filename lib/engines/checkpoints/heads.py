"""What of a model is loaded to answer a method."""

from enum import Enum


class Head(Enum):
    """What is loaded: a model with one of its heads, or its body alone. Values are classes of transformers."""

    causal = "AutoModelForCausalLM"
    classifier = "AutoModelForSequenceClassification"
    body = "AutoModel"


def head_of(method: str) -> Head:
    """The head that answers a method of lib/types.py."""
    of_others = {"score": Head.classifier, "relevance": Head.classifier, "class_logprobs": Head.classifier}
    return {**of_others, "embed": Head.body}.get(method, Head.causal)
