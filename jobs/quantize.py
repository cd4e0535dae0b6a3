"""Quantise: save a model in NF4 or int8, so that it needn't be quantised at each start.

python -m jobs.quantize engine=smollm2_135m quantize.to=nf4 out=DIR

and then python -m jobs.judge engine=smollm2_135m engine.model=DIR engine.gguf_file=null
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from lib.config import require_local
from lib.engines.base import ModelConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.models.quantized_copy import QuantizeConfig, quantize, report_quantized


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/quantize.yaml`. engine: of the transformers engine. out: the folder of the copy and its report."""

    engine: ModelConfig
    quantize: QuantizeConfig
    out: str = MISSING

    def __post_init__(self) -> None:
        require_local("out", self.out)


def main(config: Config) -> None:
    """Run the job."""
    if not isinstance(config.engine, TransformersConfig):
        raise ConfigError(
            "engine: jobs.quantize loads models with the transformers engine; choose one of its configs, such as "
            "engine=smollm2_135m"
        )
    folder = Path(config.out)
    report_quantized(quantize(config.quantize, config.engine, folder), config.engine, folder)


JOB = Command("quantize", Config, main)

if __name__ == "__main__":
    launch(JOB)
