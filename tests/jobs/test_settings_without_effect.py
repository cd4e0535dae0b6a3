"""A setting that has no effect where it stands is refused: its user meant something by it."""

from pathlib import Path

import pytest

from tests.conftest import Job


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("generate", ["prompt.labels=[A,B]"], "prompt.labels=['A', 'B']: has no effect in jobs.generate"),
        ("generate", ["prompt=pairwise_en"], "prompt.labels=['A', 'B', 'tie']: has no effect in jobs.generate"),
        ("generate", ["prompt.chat=never", "prompt.add_generation_prompt=false"], "prompt.add_generation_prompt=false"),
        ("generate", ["data.sample_seed=3"], "data.sample_seed=3: has no effect without data.sample"),
        ("generate", ["data.folds=3"], "data.folds=3: has no effect without data.fold"),
        ("generate", ["data=openai_batch", "data.path=x.jsonl", "prompt.system=x"], "prompt.system=x: has no effect"),
        ("generate", ["generate.seed=3"], "generate.seed=3: has no effect without draws"),
        ("judge", ["judge.mode=text", "prompt=reasoned_en", "generate.seed=3"], "generate.seed=3: has no effect"),
        ("generate", ["run.name=x"], "run.name=x: has no effect with run.dir="),
        ("submit", ["run.dir=y", "++run.root=x"], "run.root=x: has no effect with run.dir=y"),
        ("judge", ["generate.temperature=0.5"], "generate.temperature=0.5: has no effect without judge.mode=text"),
        (
            "judge",
            ["merge.prior=[0.3,0.3,0.4]"],
            "merge.prior=[0.3, 0.3, 0.4]: has no effect with",
        ),
        ("arena", ["arena.tie_margin=0.1"], "arena.tie_margin=0.1: has no effect with arena.rule=davidson"),
        (
            "arena",
            ["arena.rule=threshold", "arena.scale=2"],
            "arena.scale=2.0: has no effect with",
        ),
        (
            "rerank",
            ["rerank.by=cross_encoder", "data.path=x", "prompt.system=x"],
            "prompt.system=x: has no effect",
        ),
        ("judge", ["prompt.images=[x]"], "prompt.images: has no effect on a judge of battles"),
        ("judge", ["judge.mode=text", "prompt=reasoned_en", "prompt.images=[x]"], "prompt.images: has no effect on a"),
        (
            "judge",
            ["judge.mode=classes", "prompt=classifier_en", "prompt.images=[x]", "prompt.chat=auto"],
            "prompt.images: has no effect",
        ),
        ("rerank", ["data.path=x", "prompt.images=[x]"], "prompt.images: has no effect on a reranker's prompt"),
        ("grade", ["data.path=x", "prompt.images=[x]"], "prompt.images: has no effect in jobs.grade"),
        ("rag", ["data.path=x", "prompt.images=[x]"], "prompt.images: has no effect in jobs.rag"),
        ("rag", ["data.path=x", "rerank_prompt.images=[x]"], "prompt.images: has no effect in jobs.rag"),
        ("chunk", ["data.path=x", "chunk.by=paragraph", "chunk.keep_delimiter=true"], "chunk.keep_delimiter=true: has"),
        ("plan", ["plan.rows=3"], "plan.rows=3: has no effect without plan.measure=true"),
        ("plan", ["prompt.preview=3"], "prompt.preview=3: has no effect but in python -m jobs.judge"),
        ("plan", ["array.element=0/2"], "array.element=0/2: has no effect but in python -m jobs.judge"),
        ("submit", ["prompt.preview=3"], "prompt.preview=3: has no effect but in python -m jobs.judge"),
        ("rag", ["data.path=x", "rag.tournament=[a=b]"], "rag.tournament: has no effect without rag.experiments"),
        ("rag", ["data.path=x", "rerank.top_n=2"], "rerank.top_n=2: has no effect without rag.rerank=true"),
        ("rag", ["data.path=x", "chunk.by=none"], "chunk.by=none: has no effect without documents"),
        ("rag", ["data.path=x", "retriever=web", "chunk.by=none"], "chunk.by=none: has no effect without documents"),
        ("rag", ["data.path=x", "retriever=bm25_ja"], "retriever=bm25_ja: has no effect without documents"),
        ("rag", ["data.path=x", "engine@generator=dummy"], "has a slot {passages}, and without documents there are"),
        ("rag", ["data.path=x", "retrieve.k=2"], "retrieve.k=2: has no effect without documents"),
        ("rag", ["data.path=x", "documents.path=y", "retriever=web"], "documents.path=y: has no effect with retriever"),
        ("rag", ["data.path=x", "array.element=0/2"], "array.element=0/2: has no effect in jobs.rag"),
        ("rag", ["data.path=x", "data.carry=[y]"], "data.carry=['y']: has no effect in jobs.rag"),
        ("rag", ["data.path=x", "prompt.preview=2"], "prompt.preview=2: has no effect in jobs.rag"),
        ("rag", ["data.path=x", "generate.seed=2"], "generate.seed=2: has no effect without draws"),
        ("merge", ["run.dir=x", "merge.weights=[1.0]"], "merge.weights=[1.0]: has no effect on a run"),
        (
            "merge",
            ["merge.submissions=[a]", "merge.weights=[1]", "merge.out=b", "merge.on_failed=uniform"],
            "merge.on_failed=uniform: has no effect on submissions that are blended",
        ),
        ("evaluate", ["run.dir=x", "out=y"], "out=y: has no effect with run.dir"),
        ("evaluate", ["submission=x", "labels=y", "qrels=z"], "qrels=z: has no effect on a submission"),
        ("status", ["run.dir=x", "notify.command=[echo,'{summary}']"], "has no effect without summary=true"),
        ("status", ["run.dir=x", "exit_code=3"], "exit_code=3: has no effect without summary=true"),
        ("status", ["run.dir=x", "summary=true", "--watch"], "watch=true: has no effect with summary=true"),
        ("view", ["run.dir=x", "view.odd=5"], "view.odd=5: has no effect without view.export"),
        ("view", ["run.dir=x", "view.export=y", "view.port=8080"], "view.port=8080: has no effect with view.export"),
    ],
)
def test_it_is_refused(name: str, line: list[str], said: str, quick_job: Job, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {}}\n')
    line = [word.replace("x.jsonl", str(tmp_path / "x.jsonl")) for word in line]
    if name in ("generate", "judge", "arena"):
        line += ["engine=dummy", f"run.dir={tmp_path}/run"]
    done = quick_job(name, *line, code=2)
    assert said in done.stderr
    assert not (tmp_path / "run").exists()
