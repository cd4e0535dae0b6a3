"""Generate text: an answer for each row of a table, after a prompt that is filled from its columns.

python -m jobs.generate data=table data.path=FILE prompt=instruct engine=smollm2_135m
python -m jobs.generate data=openai_batch data.path=FILE merge.format=openai_batch engine=smollm2_135m
"""

from dataclasses import dataclass, field

from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.data.rows.table import open_table
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.job import Job, PromptJobConfig
from lib.pipeline.outcomes.text_outcome import TEXTS
from lib.pipeline.run import Recipe
from lib.pipeline.text_job import TextJobConfig, require_usual
from lib.tasks.generation import Generate
from lib.tasks.openai.body_texts import AnswerTexts
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.sampling import SamplingConfig, require_draws, sampling


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig, PromptJobConfig):
    """`conf/generate.yaml`."""

    prompt: PromptConfig = field(metadata=asked_for(PromptUse.text))
    generate: SamplingConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows. An OpenAI batch file says all itself, but for `generate.seed`."""
    if config.batch is not None:
        return _recipe_of_bodies(config, config.batch)
    if config.prompt.labels:
        raise ConfigError(
            f"prompt.labels={list(config.prompt.labels)}: has no effect in jobs.generate, which chooses among none; "
            "leave it out (generate.choice keeps a text to one of several)"
        )
    require_draws(config.generate)
    config.engine.check_sampling(sampling(config.generate))
    task = Generate(config.generate, config.prompt)
    data = open_table(config.table, task.fields, images=config.prompt.images)
    return Recipe(data=data, engine=config.engine, task=task)


def _recipe_of_bodies(config: Config, batch: OpenAiBatchConfig) -> Recipe:
    require_usual("generate", config.generate, but=["seed"])
    require_usual("prompt", config.prompt, but=["preview"])
    url, engine = batch_url(batch, "generate"), config.engine
    task = AnswerTexts(url=url, seed=config.generate.seed, context=engine.max_tokens, fits=engine.check_sampling)
    return Recipe(data=open_batch(batch, url, task.check_body), engine=engine, task=task)


JOB = Job("generate", Config, recipe, TEXTS)

if __name__ == "__main__":
    launch(JOB)
