"""What number formats cost: each in a process of its own, one after the other, into one table."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path

from lib import ROOT
from lib.config import require_local
from lib.data.atomic import write_text
from lib.data.run_folder import REPORT
from lib.engines.checkpoints import checkpoint, hub, stored_quantization
from lib.engines.checkpoints.checkpoint import Dtype
from lib.engines.measuring.footprint import Footprint, Order
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.errors import ConfigError, RunFailed
from lib.log import log
from lib.pipeline.models.sample_text import PIECE, pieces, read_tokens
from lib.pipeline.stop import Stop
from lib.report.models.memory_page import FormatCost, MemoryTable, memory_lines, render_memory

_FILE = "memory.json"
_PATIENCE = 0.2  # seconds
_MIB = 2**20


class NumberFormat(Enum):
    """How the weights are held. int8, nf4, nf4_double: as `engine.quantization` has them."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"
    nf4 = "nf4"
    nf4_double = "nf4_double"


_DTYPES = {NumberFormat.fp32: Dtype.float32, NumberFormat.fp16: Dtype.float16, NumberFormat.bf16: Dtype.bfloat16}


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """What is measured, and with what work.

    formats: in the order of the table. text: a UTF-8 file, on which the perplexity is measured, in windows of
    engine.max_model_len tokens that overlap by half; its beginnings are the prompts as well. prompts, new_tokens: texts
    that are written at once, greedily, and their lengths. measure: false: the computed column alone; nothing is loaded.
    """

    formats: list[NumberFormat] = field(default_factory=lambda: [*NumberFormat])
    text: str = "conf/samples/memory_text.txt"
    prompts: int = 8
    new_tokens: int = 64
    measure: bool = True

    def __post_init__(self) -> None:
        if not self.formats or len(set(self.formats)) < len(self.formats):
            shown = ",".join(chosen.value for chosen in self.formats)
            raise ConfigError(f"memory.formats=[{shown}]: name each number format once, and at least one")
        require_local("memory.text", self.text)
        for name in ("prompts", "new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"memory.{name}={getattr(self, name)}: must be at least 1")


def tabulate(config: MemoryConfig, engine: TransformersConfig) -> MemoryTable:
    """The table of a model. A format that can't be measured is a row that says why.

    The dtype and quantization of `engine` don't matter, but that a 16-bit dtype holds for what is not quantised.
    Raises ConfigError or InputError for what can be refused before a model is loaded, RunFailed where no format could
    be measured.
    """
    stored_quantization.require_plain(checkpoint.settings(engine), engine.model)
    variants = {chosen: _variant(engine, chosen) for chosen in config.formats}
    computed = {chosen: _computed(variant) for chosen, variant in variants.items()}
    rows = [FormatCost(format=chosen.value, computed_mib=_mib(computed[chosen])) for chosen in variants]
    table = MemoryTable(
        model=hub.shown(engine.model),
        device=None,
        prompts=config.prompts,
        new_tokens=config.new_tokens,
        text_tokens=0,
        rows=rows,
    )
    if not config.measure:
        return table
    for variant in variants.values():
        variant.check("generate")
    text = _tokens(config, engine)
    found: dict[NumberFormat, Footprint | str] = {}
    for chosen, variant in variants.items():
        log.info("%s: measuring", chosen.value)
        found[chosen] = _measured(_order(config, variant, text, computed[chosen] or 0))
        if isinstance(why := found[chosen], str):
            log.warning("%s: %s", chosen.value, why)
    done = [footprint for footprint in found.values() if isinstance(footprint, Footprint)]
    if not done:
        raise RunFailed("no number format could be measured; " + "; ".join(f"{f.value}: {w}" for f, w in found.items()))
    rows = [_filled(row, found[chosen]) for row, chosen in zip(rows, variants, strict=True)]
    return replace(table, device=done[0].device, text_tokens=len(text), rows=rows)


def report_memory(table: MemoryTable, folder: Path) -> None:
    """Print the table; write `memory.json` and `report.html` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _FILE, json.dumps(table.content(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(folder / REPORT, render_memory(table))
    print("\n".join(memory_lines(table)))
    print(f"metrics:    {folder / _FILE}")
    print(f"report:     {folder / REPORT}")


def _variant(engine: TransformersConfig, chosen: NumberFormat) -> TransformersConfig:
    if chosen in _DTYPES:
        return replace(engine, dtype=_DTYPES[chosen], quantization=BitsAndBytes.none)
    dtype = Dtype.bfloat16 if engine.dtype is Dtype.float32 else engine.dtype
    return replace(engine, dtype=dtype, quantization=BitsAndBytes(chosen.value))


def _computed(variant: TransformersConfig) -> int | None:
    sizing = variant.sizing()
    return None if sizing is None else sizing.weights


def _tokens(config: MemoryConfig, engine: TransformersConfig) -> list[int]:
    """The text's tokens. Raises InputError for a text that can't be used, ConfigError where nothing fits the window."""
    tokens = read_tokens("memory.text", config.text, engine.load_tokenizer())
    most = min(PIECE, len(tokens)) + config.new_tokens
    if most > engine.max_model_len:
        raise ConfigError(
            f"memory.new_tokens={config.new_tokens}: with a prompt that makes {most} tokens, "
            f"engine.max_model_len={engine.max_model_len}"
        )
    return tokens


def _order(config: MemoryConfig, variant: TransformersConfig, text: list[int], least: int) -> Order:
    adapter = checkpoint.adapter_of(variant)
    return Order(
        folder=str(checkpoint.weights_folder(variant).resolve()),
        dtype=variant.dtype.value,
        quantization=variant.quantization.value,
        device=variant.device,
        trust_remote_code=variant.trust_remote_code,
        least=least,
        prompts=pieces(text, config.prompts),
        new_tokens=config.new_tokens,
        text=text,
        window=variant.max_model_len,
        adapter=None if adapter is None else str(adapter.folder.resolve()),
    )


def _measured(order: Order) -> Footprint | str:
    """The answer of a fresh process, or why there is none. Raises Stopped, with the process ended, after a signal."""
    with Stop(grace=0) as stop:
        process = subprocess.Popen(
            [sys.executable, "-m", "lib.engines.measuring.footprint"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # a Ctrl-C is ours: we end it
        )
        try:
            answer, said = _outputs(process, json.dumps(asdict(order)), stop)
        finally:
            process.kill()
            process.wait()
        stop.raise_if_requested()  # a signal that ended it before it had a process group of its own
    if process.returncode < 0:
        number = signal.Signals(-process.returncode)
        likely = ", most likely since memory ran out" if number is signal.SIGKILL else ""
        return f"the process was ended by {number.name}{likely}"
    if process.returncode:
        log.error("%s", said.strip())
        return (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    found = json.loads(answer)
    return str(found["error"]).splitlines()[0] if "error" in found else Footprint(**found)


def _outputs(process: subprocess.Popen[str], said: str, stop: Stop) -> tuple[str, str]:
    """What a process that was told something says to its two outputs until it ends. Raises Stopped after a signal."""
    told: str | None = said
    while True:
        try:
            return process.communicate(told, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            stop.raise_if_requested()
            told = None


def _filled(row: FormatCost, found: Footprint | str) -> FormatCost:
    if isinstance(found, str):
        return replace(row, error=found)
    return replace(
        row,
        weights_mib=_mib(found.weights),
        loaded_mib=_mib(found.loaded),
        peak_loading_mib=_mib(found.peak_loading),
        peak_generating_mib=_mib(found.peak_generating),
        baseline_mib=_mib(found.baseline),
        tokens_per_s=round(found.tokens_per_s, 2),
        perplexity=found.perplexity,
        error=None if found.perplexity is not None else "no perplexity: the model's output is not a finite number",
    )


def _mib(size: int | None) -> float | None:
    return None if size is None else round(size / _MIB, 2)
