"""What the number formats of a model cost: memory, speed, perplexity.

python -m jobs.memory engine=smollm2_135m
python -m jobs.memory engine=llama2_7b_chat memory.measure=false
"""

from dataclasses import dataclass
from pathlib import Path

from lib.engines.base import ModelConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.models.number_formats import MemoryConfig, report_memory, tabulate


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/memory.yaml`. engine: of the transformers engine. out: the folder of memory.json and report.html."""

    engine: ModelConfig
    memory: MemoryConfig
    out: str


def main(config: Config) -> None:
    """Run the job."""
    if not isinstance(config.engine, TransformersConfig):
        raise ConfigError(
            "engine: jobs.memory loads models with the transformers engine; choose one of its configs, such as "
            "engine=smollm2_135m"
        )
    report_memory(tabulate(config.memory, config.engine), Path(config.out))


JOB = Command("memory", Config, main)

if __name__ == "__main__":
    launch(JOB)
