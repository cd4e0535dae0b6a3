"""Generate text: an answer for each row of a table, after a prompt that is filled from its columns.

python -m jobs.generate data=table data.path=FILE prompt=instruct engine=smollm2_135m
python -m jobs.generate data=openai_batch data.path=FILE merge.format=openai_batch engine=smollm2_135m
"""

from dataclasses import dataclass
from functools import partial

from lib import engines
from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.data.rows.table import open_table
from lib.launch import launch
from lib.pipeline.evaluation import report_texts
from lib.pipeline.job import show_requests
from lib.pipeline.run import Recipe
from lib.pipeline.texts import TextJobConfig, require_usual, run_texts
from lib.tasks.generation import Generate
from lib.tasks.openai.body_texts import AnswerTexts
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig, sampling


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig):
    """`conf/generate.yaml`."""

    prompt: PromptConfig
    generate: SamplingConfig


def asked(config: Config) -> Recipe:
    """What is asked, of whom, about which rows. An OpenAI batch file says all itself, but for `generate.seed`."""
    if config.batch is not None:
        return _asked_by_bodies(config, config.batch)
    engines.check_sampling(config.engine, sampling(config.generate))
    task = Generate(config.generate, config.prompt)
    return Recipe(data=open_table(config.table, task.fields), engine=config.engine, task=task)


def _asked_by_bodies(config: Config, batch: OpenAiBatchConfig) -> Recipe:
    require_usual("generate", config.generate, but=["seed"])
    url = batch_url(batch, "generate")
    fits = partial(engines.check_sampling, config.engine)
    task = AnswerTexts(url=url, seed=config.generate.seed, context=config.engine.max_model_len, fits=fits)
    return Recipe(data=open_batch(batch, url, task.check_body), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("generate", config, asked(config), config.prompt.preview)
        return
    folder = run_texts("generate", config, asked(config))
    if config.shards.whole:
        report_texts(folder)


if __name__ == "__main__":
    launch(main, Config, "generate")
