"""A model saved as bitsandbytes quantises it, so that it needn't be quantised at each start.

The copy is loaded again before it gets its name: what is there answers as the model that is quantised while it loads.
"""

import gc
import importlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from lib.config import require_local
from lib.data.atomic import TEMPORARY, atomic_folder, remove_leftovers, write_text
from lib.data.run_folder import REPORT
from lib.engines.checkpoints import checkpoint, hub, stored_quantization
from lib.engines.transformers.transformers_config import BitsAndBytes, TransformersConfig
from lib.errors import ConfigError, RunFailed
from lib.log import log
from lib.pipeline.models.sample_text import PIECE, pieces, read_tokens
from lib.report.models.quantized_page import QuantizedCopy, quantized_lines, render_quantized
from lib.types import VERDICTS, Answers, ClassEngine, EmbedEngine, LabelEngine, ScoreEngine, TokenIds, Tokenizer

FILE = "quantized.json"
_PIECES = 8  # of the text, that both models are asked about
_SAME = 1e-3  # of an answer: on a GPU the sums of two products may be added in another order


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """to: the number format. text: a UTF-8 file; the copy must answer pieces of it as the model does that it is of."""

    to: BitsAndBytes = BitsAndBytes.nf4
    text: str = "conf/samples/memory_text.txt"

    def __post_init__(self) -> None:
        if self.to is BitsAndBytes.none:
            raise ConfigError("quantize.to=none: nothing would be done; use nf4, nf4_double or int8")
        require_local("quantize.text", self.text)


def quantize(config: QuantizeConfig, engine: TransformersConfig, folder: Path) -> QuantizedCopy:
    """Make the copy of a model, with its report (`quantized.json`, `report.html`), in a folder: whole or not at all.

    One that is there already and is of the same model is left as it is, and its report is given back. Raises
    ConfigError or InputError for what can be refused before a model is loaded, such as a folder that holds something
    else; EngineError where the model can't be loaded or saved; RunFailed where the copy answers otherwise.
    """
    stored_quantization.require_plain(checkpoint.settings(engine), engine.model)
    if engine.adapter is not None:
        raise ConfigError(
            f"engine.adapter={engine.adapter}: is computed beside quantised weights, and not saved in them; quantise "
            "the base alone, and give the adapter in the line that uses the copy"
        )
    variant = replace(engine, quantization=config.to)
    method = _method(variant)
    variant.check(method)
    made_of = {**variant.identity(), "to": config.to.value, "dtype": variant.dtype.value}
    if (done := _finished(folder, made_of)) is not None:
        log.info("%s: is there already, and of the same model", folder)
        return done
    tokenizer = variant.load_tokenizer()
    text = pieces(read_tokens("quantize.text", config.text, tokenizer), _PIECES, min(PIECE, variant.max_model_len))
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.absolute().parent, [f"{escape(folder.name)}{TEMPORARY[1:]}"])
    try:
        with atomic_folder(folder.absolute()) as temporary:
            copy = _copied(variant, tokenizer, method, text, temporary)
            content = {"made_of": made_of, "copy": _copy_hash(temporary), "report": asdict(copy)}
            write_text(temporary / FILE, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
            write_text(temporary / REPORT, render_quantized(copy))
    except OSError as error:
        raise RunFailed(f"out={folder}: cannot be written: {error}") from error
    return copy


def report_quantized(copy: QuantizedCopy, engine: TransformersConfig, folder: Path) -> None:
    """Print the report, and how the copy is used."""
    print("\n".join(quantized_lines(copy)))
    print(f"metrics:    {folder / FILE}")
    print(f"report:     {folder / REPORT}")
    others = {"gguf_file": engine.gguf_file, "revision": engine.revision, "tokenizer": engine.tokenizer}
    unset = [f"engine.{key}=null" for key, value in others.items() if value is not None]
    if engine.quantization is not BitsAndBytes.none:
        unset.append("engine.quantization=none")
    print(f"use it:     the same engine with {' '.join([f'engine.model={folder}', *unset])}")


def _method(engine: TransformersConfig) -> str:
    """What the model is asked, by what it is."""
    if checkpoint.is_classifier(engine):
        return "class_logprobs" if checkpoint.count_labels(engine) == len(VERDICTS) else "score"
    return "label_logprobs" if checkpoint.is_causal(engine) else "embed"


def _finished(folder: Path, made_of: dict[str, str]) -> QuantizedCopy | None:
    """The report of a copy that is there; None where the folder is free.

    Raises ConfigError where it holds something else, or a copy of another model, or one that was changed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        content: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        found, report, before = content["made_of"], QuantizedCopy(**content["report"]), content["copy"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"out={folder}: is there, and no copy that jobs.quantize made; name another folder"
        ) from error
    if differing := sorted(key for key in {*found, *made_of} if found.get(key) != made_of.get(key)):
        raise ConfigError(f"out={folder}: holds a copy that differs in {', '.join(differing)}; name another folder")
    if _copy_hash(folder) != before:
        raise ConfigError(
            f"out={folder}: the copy in it was changed since it was made; delete it, and it is made again"
        )
    return report


def _copy_hash(folder: Path) -> str:
    return hub.files_hash(folder, (path.name for path in folder.iterdir() if path.suffix == ".safetensors"))


def _copied(
    variant: TransformersConfig, tokenizer: Tokenizer, method: str, text: Sequence[TokenIds], folder: Path
) -> QuantizedCopy:
    """Quantise, ask, save; load, ask again."""
    from lib.engines.transformers.saving import save

    importlib.import_module("bitsandbytes")  # with what `sizing` imports: not counted in the time of the first load
    variant.sizing()
    source = checkpoint.weight_bytes(variant)
    log.info("%s: quantising", hub.shown(variant.model))
    start = time.perf_counter()
    loaded = variant.load_weights(method)
    quantising = time.perf_counter() - start
    memory, device = loaded.memory, loaded.device
    save(loaded.model, checkpoint.companions(variant), folder)
    before = _answers(variant.answering(loaded, tokenizer, method), method, text)
    del loaded
    gc.collect()
    log.info("%s: loading the copy", hub.shown(variant.model))
    saved = replace(
        variant, model=str(folder), revision=None, tokenizer=None, gguf_file=None, quantization=BitsAndBytes.none
    )
    saved.check(method)
    start = time.perf_counter()
    again = saved.load_weights(method)
    loading = time.perf_counter() - start
    after = _answers(saved.answering(again, saved.load_tokenizer(), method), method, text)
    difference = float(np.abs(before.values - after.values).max())
    if not difference <= _SAME:
        raise RunFailed(
            f"the copy of {variant.model} answers otherwise than the model that is quantised while it loads: by up to "
            f"{difference:.3g} in {method}; nothing was kept. Quantise while loading (engine.quantization) instead"
        )
    return QuantizedCopy(
        model=hub.shown(variant.model),
        to=variant.quantization.value,
        dtype=variant.dtype.value,
        device=device,
        source_bytes=source,
        copy_bytes=checkpoint.weight_bytes(saved),
        memory_bytes=memory,
        copy_memory_bytes=again.memory,
        quantising_s=round(quantising, 2),
        loading_s=round(loading, 2),
        asked=method,
        answers=int(before.values.size),
        largest_difference=difference,
    )


def _answers(engine: object, method: str, text: Sequence[TokenIds]) -> Answers:
    """Answers about pieces of a text, equally long: log-probabilities of their ends or of classes, scores, vectors.

    Raises RunFailed for one that has no answer.
    """
    asked = [piece[:-1] for piece in text]
    if method == "label_logprobs":
        assert isinstance(engine, LabelEngine)
        found = engine.label_logprobs(asked, [((token,),) for token in sorted({piece[-1] for piece in text})])
    elif method == "class_logprobs":
        assert isinstance(engine, ClassEngine)
        found = engine.class_logprobs(asked)
    elif method == "score":
        assert isinstance(engine, ScoreEngine)
        found = engine.score(asked)
    else:
        assert isinstance(engine, EmbedEngine)
        found = engine.embed(asked)
    if found.errors:
        raise RunFailed(f"a piece of quantize.text has no answer: {next(iter(found.errors.values()))}")
    return found
