"""jobs.generate in this process: what is refused, previewed, merged and compared."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job
from tests.engines.endpoint.misbehaving import MODEL, serving
from tests.jobs.test_openai_batch_runs import read, write
from tests.pictures import data_url, picture

DRAWS = ["generate.temperature=0.9", "generate.top_p=0.95", "generate.n=3", "generate.max_new_tokens=10"]


def line(prompts: Path, run: Path, *more: str) -> list[str]:
    return ["data=table", f"data.path={prompts}", "engine=smollm2_135m", *DRAWS, f"run.dir={run}", *more]


def texts(run: Path) -> list[list[str]]:
    found: list[list[str]] = pq.read_table(run / "result.parquet")["text"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generate.temperature=-1"], "generate.temperature=-1"),
        (["generate.top_p=1.5"], "generate.top_p=1.5: must be in (0, 1]"),
        (["generate.temperature=0", "generate.top_p=1.0"], "generate.n=3: greedy texts"),
        (["generate.num_beams=2"], "a beam search draws nothing"),
        (["engine=smollm2_135m_vllm", "generate.epsilon_cutoff=0.01"], "epsilon_cutoff"),
        (["prompt.template='{instruction} {tone}'"], "column 'tone' is missing"),
        (["prompt.examples=[{instruction: a}]"], "prompt.examples, example 1"),
        (['generate.json_schema=\'{"type": "objekt"}\''], "is no JSON schema"),
        (["engine.max_model_len=16"], "engine.max_model_len=16"),
        (["prompt.images=[instruction]"], "prompt.images=['instruction']: each is shown once, and not as a text, too"),
        (["prompt.images=[photo]", "prompt.chat=never"], "chats alone show images"),
        (["data.carry=[text]"], "is also a column of this job's result"),
    ],
)
def test_bad_settings_are_refused_before_a_model_is_loaded(
    prompts: Path, quick_job: Job, tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = quick_job("generate", *line(prompts, tmp_path / "run", "executor=inline", *overrides), code=2)
    assert message in done.stderr
    assert "the worker is ready" not in done.stderr


def test_the_preview_shows_what_the_model_gets(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    done = quick_job("generate", *line(prompts, tmp_path / "run", "prompt.preview=2", "executor=inline"))
    assert done.stdout.count("<|im_start|>assistant") == 2
    assert "Write a line about the sea." in done.stdout
    assert not (tmp_path / "run" / "result.parquet").exists()


def test_elements_that_are_merged_leave_what_one_process_does(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    common = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "run.shard_rows=2"]
    quick_job("generate", *common, f"run.dir={tmp_path / 'whole'}")
    for part in range(2):
        quick_job("generate", *common, f"run.dir={tmp_path / 'parts'}", f"array.element={part}/2")
    quick_job("merge", f"run.dir={tmp_path / 'parts'}")
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")
    for name in ("metrics.json", "report.html"):
        assert (tmp_path / "parts" / name).exists()
        assert (tmp_path / "whole" / name).exists()


def test_reports_of_runs_that_follow_each_other_are_linked(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    first, second = tmp_path / "a & b", tmp_path / "deeper" / "second"
    common = ["data=table", "engine=dummy", "executor=inline"]
    quick_job("generate", *common, f"data.path={prompts}", f"run.dir='{first}'")
    assert "<a href" not in (first / "report.html").read_text()
    took = f"data.path='{first}/result.parquet'"
    quick_job("generate", *common, took, "prompt.template='{text}'", f"run.dir={second}")
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', (second / "report.html").read_text())
    assert links == [("../../a%20%26%20b/report.html", f"{tmp_path}/a &amp; b/result.parquet")]


def test_several_runs_side_by_side(prompts: Path, quick_job: Job, tmp_path: Path) -> None:
    common: list[Any] = ["data=table", f"data.path={prompts}", "engine=dummy", "executor=inline", "generate.n=4"]
    sweep = ["generate.temperature=0.5,1.5", "generate.top_p=0.5,1.0", f"run.root={tmp_path}"]
    quick_job("generate", "--multirun", *common, *sweep)
    done = quick_job("evaluate", f"runs={tmp_path}/generate-*", f"out={tmp_path}/sweep")
    assert done.stdout.splitlines()[0].split() == [
        "run", "temperature", "top_p", "self-bleu", "distinct-1", "distinct-2", "ead-1", "ead-2",
        "rarefied-1", "rarefied-2", "duplicates", "new", "tokens",
    ]  # fmt: skip
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "<svg" in page
    assert page.count('/report.html">generate-') == 4  # to each run's own page
    done = quick_job("evaluate", f"runs={tmp_path}/nothing-*", code=2)
    assert "matches no folder" in done.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        (tmp_path / "photos" / f"{seed}.png").write_bytes(picture(seed))
    path = tmp_path / "photos" / "photos.csv"
    path.write_text("photo,instruction\n" + "".join(f"{n}.png,row={n} What is it?\n" for n in range(3)))
    return path


def test_a_server_is_shown_the_images_of_rows(photos: Path, quick_job: Job, tmp_path: Path) -> None:
    table = ["data=table", f"data.path={photos}", "prompt=instruct", "prompt.images=[photo]", "prompt.system=Look."]
    with serving() as server:
        engine = ["engine=endpoint", "engine.server=openai", f"engine.url={server.url}", f"engine.model={MODEL}"]
        quick_job("generate", *table, *engine, "executor=inline", f"run.dir={tmp_path}/run")
    assert len(set(texts(tmp_path / "run"))) == 3
    asked = sorted((body["messages"] for body in server.log.bodies), key=lambda turns: turns[1]["content"][1]["text"])
    assert asked == [
        [
            {"role": "system", "content": "Look."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": data_url(picture(n))}},
                    {"type": "text", "text": f"row={n} What is it?"},
                ],
            },
        ]
        for n in range(3)
    ]


@pytest.mark.parametrize("engine", ["dummy", "smollm2_135m", "smollm2_135m_vllm"])
def test_an_engine_without_eyes_is_shown_no_images(engine: str, photos: Path, quick_job: Job, tmp_path: Path) -> None:
    table = ["data=table", f"data.path={photos}", "prompt=instruct", "prompt.images=[photo]"]
    line = [f"engine={engine}", "executor=inline", f"run.dir={tmp_path}/run"]
    done = quick_job("generate", *table, *line, code=2)
    assert "prompt.images=['photo']: images: this engine sees none; use a vision-language model" in done.stderr


def test_a_body_with_an_image_is_one_line_of_errors(quick_job: Job, tmp_path: Path) -> None:
    seen = [{"type": "image_url", "image_url": {"url": data_url(picture(1))}}, {"type": "text", "text": "?"}]
    bodies = [{"messages": [{"role": "user", "content": content}], "max_tokens": 5} for content in ("hi", seen)]
    path = write(tmp_path / "batch.jsonl", "/v1/chat/completions", bodies)
    files = ["data=openai_batch", f"data.path={path}", "merge.format=openai_batch"]
    quick_job("generate", *files, "engine=dummy", "executor=inline", f"run.dir={tmp_path}/run")
    outputs, errors = read(tmp_path / "run")
    assert [line["custom_id"] for line in outputs] == ["r-0"]
    (error,) = errors
    assert error["custom_id"] == "r-1"
    assert "images: this engine sees none" in error["response"]["body"]["error"]["message"]
