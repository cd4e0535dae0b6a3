"""Answer questions with passages of documents: chunk, embed, retrieve, rerank, generate, each a run of its own.

python -m jobs.rag experiment=lecture/all
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs import chunk, embed, generate, rerank, retrieve, tournament
from lib.command_line import as_value
from lib.config import require_unset
from lib.data.answers import read_answers
from lib.data.delivery import copy_out, require_writable
from lib.data.hub.publishing import publish, require_publishable
from lib.data.rows.base import OnBadRow
from lib.data.rows.table import TableConfig
from lib.data.run_folder import REPORT, RESULT, STAGES
from lib.engines.base import EngineConfig
from lib.errors import ConfigError
from lib.launch import command_line, compose_job, launch
from lib.log import log
from lib.pipeline.outcomes.origin import write_origin
from lib.pipeline.outcomes.rating_outcome import rank
from lib.pipeline.planning.estimate import EstimateConfig
from lib.pipeline.staged import answering
from lib.pipeline.staged.answering import Config, check_engines, require_effect
from lib.pipeline.staged.questions import take_questions
from lib.pipeline.staged.stage_plans import StagePlanner, Unplanned
from lib.pipeline.staged.staged_job import StagedJob
from lib.pipeline.staged.stages import Stage, StageRunner, below, find_or_make, run_stage, write_stages
from lib.report.answers_page import STAGE_HEADER, write_answers
from lib.report.tables import text_table
from lib.tasks.embedding import EmbedConfig, Role
from lib.tasks.passage_columns import PASSAGES
from lib.tasks.prompts.language import differs

_TELLING = 300  # questions that tell the language of all
_OF_CHUNKS = ["document", "start", "stop", "after"]
_GIVEN = ["question", *PASSAGES]  # what an answer's row says of its question


def answer(config: Config, root: Path, do: StageRunner) -> list[Stage]:
    """All stages of one way of answering; the last one's result holds the answers. do: works on a stage."""
    stages = [_questions(config, root)]
    _warn_of_language(config, stages[0])
    carry = ["question"]
    if config.searches:
        stages += _retrieve(config, root, stages[0], do)
        carry = list(_GIVEN)
        if config.rag.rerank:
            stages.append(_rerank(config, root, stages[-1], do))
    last = generate.Config(
        data=_table(stages[-1], carry=carry),
        engine=config.generator,
        prompt=config.prompt,
        generate=config.generate,
        **_common(config, root, config.rag.name),
    )
    return [*stages, do("generate", generate.JOB, last)]


def _questions(config: Config, root: Path) -> Stage:
    return find_or_make("questions", root, lambda: take_questions(below(config.run, root, "all"), config.data))


def _warn_of_language(config: Config, questions: Stage) -> None:
    """Say where a prompt is of another language than the questions."""
    table = pq.read_table(questions.result, columns=["question"])
    texts = [text for text in table["question"].slice(0, _TELLING).to_pylist() if text]
    prompts = {"prompt": config.prompt, **({"rerank_prompt": config.rerank_prompt} if config.rag.rerank else {})}
    for key, prompt in prompts.items():
        if (why := differs(prompt.template, texts)) is not None:
            group = "prompt" if key == "prompt" else "prompt@rerank_prompt"
            log.warning("%s %s; choose another with %s=NAME, or leave it if that is meant", key, why, group)


def _retrieve(config: Config, root: Path, questions: Stage, do: StageRunner) -> list[Stage]:
    """The passages of each question: chunks, vectors of both where the retriever wants them, and the search."""
    stages: list[Stage] = []
    retriever, queries, columns = config.retriever, questions, {}
    if retriever.has_corpus:
        cut = chunk.Config(
            data=config.documents, chunk=config.chunk, engine=config.embedder, **_common(config, root, "documents")
        )
        corpus = do("chunk", chunk.JOB, cut)
        stages.append(corpus)
        if retriever.needs_vectors:
            corpus = _embed(config, root, "documents", corpus, EmbedConfig(role=Role.document), _OF_CHUNKS, do)
            queries = _embed(
                config, root, "questions", queries, EmbedConfig(text="{question}", role=Role.query), [], do
            )
            columns = {"question": "text"}
            stages += [corpus, queries]
        retriever = retriever.over(corpus.folder)
    search = retrieve.Config(
        data=_table(queries, columns=columns),
        retriever=retriever,
        retrieve=config.retrieve,
        **_common(config, root, "questions"),
    )
    return [*stages, do("retrieve", retrieve.JOB, search)]


def _embed(
    config: Config, root: Path, name: str, texts: Stage, what: EmbedConfig, carry: list[str], do: StageRunner
) -> Stage:
    stage = embed.Config(
        data=_table(texts, carry=carry), embed=what, engine=config.embedder, **_common(config, root, name)
    )
    return do(f"embed {name}", embed.JOB, stage)


def _rerank(config: Config, root: Path, retrieved: Stage, do: StageRunner) -> Stage:
    stage = rerank.Config(
        data=_table(retrieved),
        engine=config.reranker,
        rerank=config.rerank,
        prompt=config.rerank_prompt,
        **_common(config, root, "questions"),
    )
    return do("rerank", rerank.JOB, stage)


def _table(stage: Stage, carry: list[str] | None = None, columns: dict[str, str] | None = None) -> TableConfig:
    return TableConfig(path=stage.result, carry=carry or [], columns=columns or {}, on_bad_row=OnBadRow.record)


def _common(config: Config, root: Path, name: str) -> dict[str, Any]:
    return {"executor": config.executor, "store": config.store, "run": below(config.run, root, name)}


def _root(config: Config) -> Path:
    return Path(config.run.dir or Path(config.run.root) / f"rag-{config.run.name_in_folder}").resolve()


def _ways(config: Config) -> dict[str, Config]:
    """The ways of answering, by name: the config's own, or those of its experiments.

    Raises ConfigError for what has no effect in any of them.
    """
    given = command_line()
    if config.rag.experiments:
        ways = _experiments(config, given)
        _contest_config(config)  # refused now, if at all
    elif config.rag.tournament:
        raise ConfigError("rag.tournament: has no effect without rag.experiments; leave it out")
    else:
        ways = {config.rag.name: config}
    require_effect(list(ways.values()), given)
    return ways


def _checked_ways(config: Config) -> dict[str, Config]:
    """The same. Raises ConfigError also for what an engine that comes late can't do."""
    ways = _ways(config)
    for way in ways.values():
        check_engines(way)
    return ways


def _experiments(config: Config, given: Sequence[str]) -> dict[str, Config]:
    overrides = [o for o in given if not o.lstrip("+").startswith(("experiment=", "run.dir="))]
    ways: dict[str, Config] = {}
    for name in config.rag.experiments:
        way = compose_job(JOB, [f"experiment={name}", *overrides, f"run.dir={as_value(str(_root(config)))}"])
        if way.rag.name in ways:
            raise ConfigError(f"rag.experiments: two of them are called rag.name={way.rag.name}; give each its own")
        ways[way.rag.name] = way
    return ways


def main(config: Config) -> None:
    """Answer in each way, and show the answers: of several ways after a tournament."""
    require_unset("track", config.track, "in jobs.rag, whose stages are runs of their own")
    require_writable(config.run.out, config.run.dir)
    require_publishable(config.publish)
    root = _root(config)
    stages = {name: answer(way, root, run_stage) for name, way in _checked_ways(config).items()}
    if config.rag.experiments:
        _contest(config, root, stages)
        return
    (done,) = stages.values()
    folder = Path(done[-1].folder)
    write_stages(done, folder / STAGES)
    answers = {config.rag.name: read_answers(config.rag.name, str(folder))}
    write_answers(answers, folder / REPORT, f"rag: {config.rag.name}", [stage.line for stage in done])
    print(text_table(STAGE_HEADER, [stage.line for stage in done]))
    print(f"result:     {folder / RESULT}")
    print(f"report:     {folder / REPORT}")
    copy_out(folder, config.run.out)
    _publish(folder, config)


def _contest(config: Config, root: Path, stages: dict[str, list[Stage]]) -> None:
    """The tournament of the answers."""
    contest = _contest_config(config)
    answers = {name: done[-1].folder for name, done in stages.items()}
    contest = replace(contest, tournament=replace(contest.tournament, answers=answers))
    lines = [(f"{name}: {stage.name}", *stage.line[1:]) for name, done in stages.items() for stage in done]
    write_stages([stage for done in stages.values() for stage in done], root / STAGES)
    judged = run_stage("tournament", tournament.JOB, contest)
    print(text_table(STAGE_HEADER, [*lines, judged.line]))
    rank(Path(judged.folder), [*lines, judged.line])
    copy_out(Path(judged.folder), config.run.out)
    _publish(Path(judged.folder), config)


def _publish(folder: Path, config: Config) -> None:
    write_origin(folder, JOB.name)
    publish(folder, config.publish)


def _contest_config(config: Config) -> tournament.Config:
    found: tournament.Config = compose_job(
        tournament.JOB, [*config.rag.tournament, f"run.root={as_value(str(_root(config)))}"]
    )
    return found


def begin(config: Config) -> Path:
    """Read the questions of all ways; the folder of their stages."""
    root = _root(config)
    for way in _checked_ways(config).values():
        _questions(way, root)
    return root


def plan(config: Config, estimate: EstimateConfig) -> None:
    """Print the plan of each way's first stage that is still to be done; later ones wait for what it makes."""
    for name, way in _checked_ways(config).items():
        print(f"{name}:")
        try:
            answer(way, _root(config), StagePlanner(estimate))
            print("all stages are done")
        except Unplanned as stage:
            print(f"the stages behind {stage} are planned when it is done")


def engines(config: Config) -> list[EngineConfig]:
    """Those of all ways, and the judge of their tournament."""
    judge = [_contest_config(config).engine] if config.rag.experiments else []
    return [*(engine for way in _ways(config).values() for engine in answering.engines(way)), *judge]


JOB = StagedJob("rag", Config, main, begin, plan, engines)

if __name__ == "__main__":
    launch(JOB)
