"""Answer questions with passages of documents: chunk, embed, retrieve, rerank, generate, each a run of its own.

python -m jobs.rag experiment=lecture/all
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobs import chunk, embed, generate, rerank, retrieve, tournament
from lib import engines
from lib.data.answers import read_answers
from lib.data.merging import RESULT
from lib.data.rows.base import OnBadRow
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.documents import DocumentsConfig
from lib.data.rows.table import TableConfig
from lib.engines.base import EngineConfig
from lib.errors import ConfigError
from lib.launch import command_line, compose_job, launch
from lib.pipeline.job import JobConfig
from lib.pipeline.part import WHOLE
from lib.pipeline.questions import take_questions
from lib.pipeline.stages import STAGES, Stage, below, find_or_make, run_stage, write_stages
from lib.report.answers_page import write_answers
from lib.report.battles_page import REPORT
from lib.tasks.embedding import EmbedConfig, Role
from lib.tasks.passages import PASSAGES
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.reranking import RerankConfig
from lib.tasks.retrieving import RetrieveConfig
from lib.tasks.sampling import SamplingConfig

_OF_CHUNKS = ["document", "start", "stop", "after"]
_GIVEN = ["question", *PASSAGES]  # what an answer's row says of its question


@dataclass(frozen=True, kw_only=True)
class RagConfig:
    """What is done. name: of this way of answering. rerank: whether passages are reranked.

    experiments: do these instead of one way, each as with experiment=NAME; then a tournament of their answers, with
    `tournament` as overrides of jobs.tournament.
    """

    name: str = "rag"
    rerank: bool = False
    experiments: list[str] = field(default_factory=list)
    tournament: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Config(JobConfig):
    """`conf/rag.yaml`. documents.path: "" for answers without documents."""

    rag: RagConfig
    data: TableConfig
    documents: DocumentsConfig
    chunk: ChunkConfig
    embedder: EngineConfig
    retriever: EngineConfig
    retrieve: RetrieveConfig
    reranker: EngineConfig
    rerank: RerankConfig
    rerank_prompt: PromptConfig
    generator: EngineConfig
    prompt: PromptConfig
    generate: SamplingConfig


def answer(config: Config, root: Path) -> list[Stage]:
    """All stages of one way of answering; the last one's result holds the answers."""
    stages = [find_or_make("questions", root, lambda: take_questions(below(config.run, root, "all"), config.data))]
    carry = ["question"]
    if config.documents.path or not engines.has_corpus(config.retriever):
        stages += _retrieve(config, root, stages[0])
        carry = list(_GIVEN)
        if config.rag.rerank:
            stages.append(_rerank(config, root, stages[-1]))
    last = generate.Config(
        data=_table(stages[-1], carry=carry),
        engine=config.generator,
        prompt=config.prompt,
        generate=config.generate,
        **_common(config, root, config.rag.name),
    )
    return [*stages, run_stage("generate", "generate", last, generate.asked(last))]


def _retrieve(config: Config, root: Path, questions: Stage) -> list[Stage]:
    """The passages of each question: chunks, vectors of both where the retriever wants them, and the search."""
    stages: list[Stage] = []
    retriever, queries, columns = config.retriever, questions, {}
    if engines.has_corpus(retriever):
        cut = chunk.Config(
            data=config.documents, chunk=config.chunk, engine=config.embedder, run=below(config.run, root, "documents")
        )
        corpus = find_or_make("chunk", root, lambda: chunk.run(cut))
        stages.append(corpus)
        if engines.needs_vectors(retriever):
            corpus = _embed(config, root, "documents", corpus, EmbedConfig(role=Role.document), _OF_CHUNKS)
            queries = _embed(config, root, "questions", queries, EmbedConfig(text="{question}", role=Role.query), [])
            columns = {"question": "text"}
            stages += [corpus, queries]
        retriever = engines.with_corpus(retriever, corpus.folder)
    search = retrieve.Config(
        data=_table(queries, columns=columns),
        retriever=retriever,
        retrieve=config.retrieve,
        **_common(config, root, "questions"),
    )
    return [*stages, run_stage("retrieve", "retrieve", search, retrieve.asked(search))]


def _embed(config: Config, root: Path, name: str, texts: Stage, what: EmbedConfig, carry: list[str]) -> Stage:
    stage = embed.Config(
        data=_table(texts, carry=carry), embed=what, engine=config.embedder, **_common(config, root, name)
    )
    return run_stage(f"embed {name}", "embed", stage, embed.asked(stage))


def _rerank(config: Config, root: Path, retrieved: Stage) -> Stage:
    stage = rerank.Config(
        data=_table(retrieved),
        engine=config.reranker,
        rerank=config.rerank,
        prompt=config.rerank_prompt,
        **_common(config, root, "questions"),
    )
    return run_stage("rerank", "rerank", stage, rerank.asked(stage))


def _table(stage: Stage, carry: list[str] | None = None, columns: dict[str, str] | None = None) -> TableConfig:
    return TableConfig(path=stage.result, carry=carry or [], columns=columns or {}, on_bad_row=OnBadRow.record)


def _common(config: Config, root: Path, name: str) -> dict[str, Any]:
    return {"executor": config.executor, "run": below(config.run, root, name), "shards": WHOLE}


def _root(config: Config) -> Path:
    return Path(config.run.dir or Path(config.run.root) / f"rag-{config.run.name}").resolve()


def _one(config: Config) -> None:
    """One way of answering, and a page with its answers."""
    root = _root(config)
    stages = answer(config, root)
    folder = Path(stages[-1].folder)
    write_stages(stages, folder / STAGES)
    answers = {config.rag.name: read_answers(config.rag.name, str(folder))}
    write_answers(answers, folder / REPORT, f"rag: {config.rag.name}", [stage.line for stage in stages])
    print(f"result:     {folder / RESULT}")
    print(f"report:     {folder / REPORT}")


def _all(config: Config) -> None:
    """Each experiment, then the tournament of their answers."""
    root = _root(config)
    overrides = [o for o in command_line() if not o.lstrip("+").startswith(("experiment=", "run.dir="))]
    stages: dict[str, list[Stage]] = {}
    for name in config.rag.experiments:
        one = compose_job("rag", Config, [f"experiment={name}", *overrides, f"run.dir={root}"])
        if one.rag.name in stages:
            raise ConfigError(f"rag.experiments: two of them are called rag.name={one.rag.name}; give each its own")
        stages[one.rag.name] = answer(one, root)
    contest = compose_job("tournament", tournament.Config, [*config.rag.tournament, f"run.root={root}"])
    answers = {name: done[-1].folder for name, done in stages.items()}
    lines = [(f"{name}: {stage.name}", *stage.line[1:]) for name, done in stages.items() for stage in done]
    write_stages([stage for done in stages.values() for stage in done], root / STAGES)
    tournament.run(replace(contest, tournament=replace(contest.tournament, answers=answers)), root, lines)


def main(config: Config) -> None:
    """Run the job."""
    if config.rag.experiments:
        _all(config)
    else:
        _one(config)


if __name__ == "__main__":
    launch(main, Config, "rag")
