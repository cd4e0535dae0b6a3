"""Grade answers: a number for each row of a table, asked of a language model.

python -m jobs.grade data=table data.path=FILE prompt=mt_bench_single engine=smollm2_135m
"""

from dataclasses import dataclass, field, replace

from lib.config import require_unset
from lib.data.rows.table import TableConfig, open_table
from lib.launch import launch
from lib.pipeline.job import Job, PromptJobConfig
from lib.pipeline.outcomes.grade_outcome import GRADES, KEPT
from lib.pipeline.run import Recipe
from lib.tasks.grading.grading import GradeConfig
from lib.tasks.grading.label_grade import LabelGrade
from lib.tasks.grading.text_grade import TextGrade
from lib.tasks.judging import written
from lib.tasks.pairwise import Mode
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.sampling import SamplingConfig, require_draws, sampling


@dataclass(frozen=True, kw_only=True)
class Config(PromptJobConfig):
    """`conf/grade.yaml`."""

    prompt: PromptConfig = field(metadata=asked_for(PromptUse.grade))
    data: TableConfig
    grade: GradeConfig
    generate: SamplingConfig = field(default_factory=written)


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows; columns by which grades are summed up are kept where they are there."""
    task = _task(config)
    there = open_table(config.data, task.fields, KEPT).beside
    data = replace(config.data, carry=list(dict.fromkeys([*config.data.carry, *there])))
    return Recipe(data=open_table(data, task.fields), engine=config.engine, task=task)


def _task(config: Config) -> LabelGrade | TextGrade:
    if config.grade.mode is Mode.text:
        require_draws(config.generate)
        config.engine.check_sampling(sampling(config.generate))
        return TextGrade(config.grade, config.prompt.for_text, config.generate)
    why = "without grade.mode=text, since grades are not written"
    require_unset("generate", config.generate, why, usual=written())
    return LabelGrade(config.grade, config.prompt.for_labels)


JOB = Job("grade", Config, recipe, GRADES)

if __name__ == "__main__":
    launch(JOB)
