"""The transformers engine on a GPU: label log-probabilities, rewards and embeddings by a model of 7B's shape.

By hand: `python -m tests.bench.gpu` on a GPU with 40 GB or more; `python -m tests.bench.gpu --tiny` shows on a CPU that
it runs. Needs torch, transformers and numpy, no files. The weights are random, of the shape of Qwen2.5-7B; so are the
tokens, in requests as long as those of real battles. A batch-size-1 loop over some of the same requests and a large
matrix product, the ceiling, take turns with ours. MFU: operations (2 × parameters without embeddings × real tokens +
attention) a second, as a share of the ceiling.
"""

import argparse
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from lib.engines.checkpoints.heads import Head
from lib.engines.checkpoints.pooling import Pooling
from lib.engines.sizing import flops
from lib.engines.transformers.causal import CausalEngine
from lib.engines.transformers.classifier import ClassifierEngine
from lib.engines.transformers.embedder import EmbedderEngine
from lib.engines.transformers.loading import Loaded
from lib.types import Answers, Label, TokenIds
from tests.bench.measure import cost, generate_one_token_each, seconds, tokens
from tests.bench.padding import batches_of, padding_efficiency

Vectors = npt.NDArray[np.float32]

# Tokens of requests at every 5 %, from the shortest to the longest. From the first 100 battles of Kaggle's "LMSYS –
# Chatbot Arena" train.csv, with SmolLM2's tokenizer: the prompts that jobs.judge makes of them before it cuts any
# (prompt=pairwise_en, both orders; mean 868, of which 2 % are above 4,096), and the first questions alone (mean 87).
LENGTHS = {
    "battles": (137, 170, 214, 248, 294, 321, 377, 431, 498, 599, 690, 745, 799, 838, 919, 993, 1152, 1259, 1511, 2295,
                6739),
    "questions": (1, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21, 24, 33, 42, 53, 87, 139, 314, 2244),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured, and on what.

    rows: requests of each kind of text. loop: of those, how many the loop answers. max_model_len: longer ones are cut.
    """

    shape: Mapping[str, Any]
    device: str
    dtype: str
    max_model_len: int
    rows: Mapping[str, int]
    loop: int
    batch_tokens: Sequence[int]
    rounds: int


GPU = Setting(
    shape={
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    },
    device="cuda",
    dtype="bfloat16",
    max_model_len=4096,
    rows={"battles": 256, "questions": 1024},
    loop=32,
    batch_tokens=(4096, 16384, 65536),
    rounds=3,
)
TINY = Setting(
    shape={
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
    },
    device="cpu",
    dtype="float32",
    max_model_len=256,
    rows={"battles": 8, "questions": 16},
    loop=4,
    batch_tokens=(256, 1024),
    rounds=1,
)
LABELS: list[Label] = [((32,),), ((33,),), ((49,),)]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of the table. Rates are medians of the rounds; memory (bytes) is the most of all rounds.

    difference: largest between ours and the loop's answers to the same requests; spread: the standard deviation of
    these answers, to compare it with.
    """

    method: str
    text: str
    batch_tokens: int
    answers: Answers
    rows_per_second: float
    tokens_per_second: float
    padding_efficiency: float
    mfu: float
    loop_tokens_per_second: float
    ratio: float
    memory: int
    ceiling: float
    difference: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class Method:
    """One of the engine's methods. engine: batch_tokens → requests → answers. loop: the same, a request at a time."""

    name: str
    loaded: Loaded
    engine: Callable[[int], Callable[[Sequence[TokenIds]], Answers]]
    loop: Callable[[Sequence[TokenIds]], Vectors]


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    setting = TINY if parser.parse_args().tiny else GPU
    if setting.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --tiny runs on a CPU")
    where = torch.cuda.get_device_name() if setting.device == "cuda" else "CPU"
    print(f"{where}, torch {torch.__version__}, transformers {transformers.__version__}, {setting.dtype}")
    for text in LENGTHS:
        lengths = [len(request) for request in requests(text, setting)]
        print(f"{text}: {len(lengths)} requests, {min(lengths)} to {max(lengths)} tokens, mean {np.mean(lengths):.0f}")
    print(
        "\n| method | requests | batch_tokens | rows/s | tokens/s | padding efficiency | ceiling TFLOP/s | MFU | "
        "loop tokens/s | ours / loop | peak memory above the weights, GB | largest difference (spread) |\n"
        f"|{'---|' * 12}"
    )
    for row in measure(setting):
        print(
            f"| {row.method} | {row.text} | {row.batch_tokens:,} | {row.rows_per_second:.1f} | "
            f"{row.tokens_per_second:,.0f} | {row.padding_efficiency:.3f} | {row.ceiling / 1e12:.3g} | {row.mfu:.0%} | "
            f"{row.loop_tokens_per_second:,.0f} | {row.ratio:.1f} | {row.memory / 1e9:.2f} | "
            f"{row.difference:.2g} ({row.spread:.2g}) |",
            flush=True,
        )


def measure(setting: Setting) -> Iterator[Measured]:
    """All rows of the table. One model is on the device at a time."""
    for make in (label_logprobs, score, embed):
        method = make(setting)
        for text in LENGTHS:
            yield from compare(method, text, requests(text, setting), setting)
        del method
        gc.collect()
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def compare(method: Method, text: str, all_requests: list[list[int]], setting: Setting) -> Iterator[Measured]:
    """Our batches under each budget, the loop and the ceiling, taking turns."""
    some = all_requests[: setting.loop]
    ask = {budget: method.engine(budget) for budget in setting.batch_tokens}
    for answer in ask.values():  # libraries load, and memory is claimed, at the first use
        answer(some)
    alone = [method.loop(some)]
    answers: dict[int, Answers] = {}
    costs: dict[int, list[tuple[float, int]]] = {budget: [] for budget in ask}
    ceilings, loops = [], []
    for _ in range(setting.rounds):
        ceilings.append(flops.peak_flops(setting.device, setting.dtype))
        for budget, answer in ask.items():
            work = partial(answer, all_requests)
            costs[budget].append(cost(lambda: answers.update({budget: work()}), setting.device))  # noqa: B023
        loops.append(seconds(lambda: alone.append(method.loop(some)), setting.device))
    lengths = [len(request) for request in all_requests]
    arithmetic = flops.forward_flops(parameters(method.loaded), setting.shape, lengths)
    loop_rate = tokens(some) / float(np.median(loops))
    for budget in ask:
        assert not answers[budget].errors, answers[budget].errors
        taken = float(np.median([time for time, _ in costs[budget]]))
        yield Measured(
            method=method.name,
            text=text,
            batch_tokens=budget,
            answers=answers[budget],
            rows_per_second=len(lengths) / taken,
            tokens_per_second=sum(lengths) / taken,
            padding_efficiency=padding_efficiency(lengths, batches_of(lengths, budget)),
            mfu=arithmetic / taken / float(np.median(ceilings)),
            loop_tokens_per_second=loop_rate,
            ratio=sum(lengths) / taken / loop_rate,
            memory=max(memory for _, memory in costs[budget]),
            ceiling=float(np.median(ceilings)),
            difference=float(np.abs(answers[budget].values[: len(some)] - alone[-1]).max()),
            spread=float(alone[-1].std()),
        )


def label_logprobs(setting: Setting) -> Method:
    """A judge: three labels of one token each. The loop is the source's, `generate` of one token."""
    loaded = build(Head.causal, setting)

    def engine(batch_tokens: int) -> Callable[[Sequence[TokenIds]], Answers]:
        made = CausalEngine(loaded, max_model_len=setting.max_model_len, batch_tokens=batch_tokens)
        return lambda asked: made.label_logprobs(asked, LABELS)

    def loop(asked: Sequence[TokenIds]) -> Vectors:
        return generate_one_token_each(loaded.model, asked, LABELS)

    return Method(name="label_logprobs", loaded=loaded, engine=engine, loop=loop)


def score(setting: Setting) -> Method:
    """A reward model: one score for each request."""
    loaded = build(Head.classifier, setting)

    def engine(batch_tokens: int) -> Callable[[Sequence[TokenIds]], Answers]:
        return ClassifierEngine(loaded, max_model_len=setting.max_model_len, batch_tokens=batch_tokens).score

    def loop(asked: Sequence[TokenIds]) -> Vectors:
        return each(asked, loaded, lambda ids: loaded.model(input_ids=ids).logits[0])

    return Method(name="score", loaded=loaded, engine=engine, loop=loop)


def embed(setting: Setting) -> Method:
    """A decoder as an embedder: the state of the last token, of length one."""
    loaded = build(Head.body, setting)

    def engine(batch_tokens: int) -> Callable[[Sequence[TokenIds]], Answers]:
        return EmbedderEngine(
            loaded, pooling=Pooling.last, max_model_len=setting.max_model_len, batch_tokens=batch_tokens
        ).embed

    def loop(asked: Sequence[TokenIds]) -> Vectors:
        def vector(ids: Any) -> Any:
            state = loaded.model(input_ids=ids).last_hidden_state[0, -1].float()
            return torch.nn.functional.normalize(state, dim=0)

        return each(asked, loaded, vector)

    return Method(name="embed", loaded=loaded, engine=engine, loop=loop)


def each(asked: Sequence[TokenIds], loaded: Loaded, answer: Callable[[Any], Any]) -> Vectors:
    """Answers [n, k], one request at a time, each fetched before the next one is asked."""
    with torch.inference_mode():
        rows = [answer(torch.tensor([request], device=loaded.model.device)).float().cpu() for request in asked]
    return torch.stack(rows).numpy()


def build(kind: Head, setting: Setting) -> Loaded:
    """A Qwen2 with random weights, made on the device and in the number format of the setting."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(**setting.shape, tie_word_embeddings=False, num_labels=1)
    with torch.device(setting.device):
        model = getattr(transformers, kind.value).from_config(
            config, dtype=getattr(torch, setting.dtype), attn_implementation="sdpa"
        )
    return Loaded(model.eval(), setting.device, sum(weight.nbytes for weight in model.parameters()))


def parameters(loaded: Loaded) -> int:
    """Parameters of the body without its embeddings."""
    return int(loaded.model.base_model.num_parameters(exclude_embeddings=True))


def requests(text: str, setting: Setting) -> list[list[int]]:
    """Random tokens in requests of the lengths that texts of this kind have, in no order."""
    rng = np.random.default_rng(0)
    count, known = setting.rows[text], LENGTHS[text]
    lengths = np.interp((np.arange(count) + 0.5) / count, np.linspace(0, 1, len(known)), known).round().astype(int)
    lengths = rng.permutation(np.minimum(lengths, setting.max_model_len))
    return [rng.integers(0, setting.shape["vocab_size"], length).tolist() for length in lengths]


if __name__ == "__main__":
    main()
