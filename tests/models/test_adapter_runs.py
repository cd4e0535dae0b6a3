"""Whole runs of jobs.judge with a LoRA, and with classifiers, against peft's own forward pass."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job
from tests.engines.adapters import edit, lora, save_adapter
from tests.engines.conftest import word_tokenizer
from tests.engines.transformers.test_adapters import class_logprobs, classifier, theirs
from tests.engines.transformers.test_causal import plain, tiny

Battles = Callable[..., Path]
ROWS = 30  # enough to calibrate on
TEXTS = {row: f"w{row} w{row + 20} w{2 * row}" for row in range(ROWS)}
WORDS = {"labels": ["w1", "w2", "w3"], "template": "{prompt} A {response_a} B {response_b}"}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders: a base, a LoRA for labels, one that makes a classifier, and whole classifiers of 1 and 3 labels."""
    import transformers

    folder = tmp_path_factory.mktemp("models")
    tiny("llama").save_pretrained(folder / "base")
    classifier(id2label={0: "tie", 1: "A", 2: "B"}).save_pretrained(folder / "three")
    config = transformers.LlamaConfig(**classifier().config.to_dict() | {"id2label": {0: "LABEL_0"}})
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder / "one")
    for name in ("base", "three", "one"):
        word_tokenizer().save_pretrained(folder / name)
    save_adapter(tiny("llama"), lora(), folder / "lora", str(folder / "base"))
    save_adapter(classifier(), lora(task_type="SEQ_CLS"), folder / "classes", str(folder / "base"))
    return folder


@pytest.fixture
def line(battles: Battles, models: Path, tmp_path: Path) -> list[str]:
    """What all runs have in common. The prompts are words of the tokenizer."""
    path = battles(ROWS, TEXTS)
    engine = [f"engine.model={models / 'base'}", "engine.gguf_file=null", "engine.max_model_len=96"]
    return ["data=arena", f"data.path={path}", "executor=inline", "engine.batch_tokens=1", *engine]


def result(run: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pq.read_table(run / "result.parquet").to_pydict()
    assert found["error"] == [None] * ROWS
    return found


def requests(template: str, *, around: bool) -> list[list[int]]:
    """Each row's prompt in both orders. around: with what the tokenizer puts around a text (nothing)."""
    tokenizer = word_tokenizer()
    texts = []
    for row, prompt in TEXTS.items():
        a, b = f"answer {row}", f"another answer {row * 7}"
        for first, second in ((a, b), (b, a)):
            texts.append(template.format(prompt=prompt, response_a=first, response_b=second))
    return [tokenizer(text, add_special_tokens=around)["input_ids"] for text in texts]


def asked(found: dict[str, list[Any]]) -> Any:
    """[2 * rows, 3], as requests stand."""
    return np.array([found[name][row] for row in range(ROWS) for name in ("ab_logprobs", "ba_logprobs")])


def test_a_judge_with_a_lora(quick_job: Job, line: list[str], models: Path, tmp_path: Path) -> None:
    prompt = [f"prompt.template='{WORDS['template']}'", "prompt.labels=[w1,w2,w3]", "judge.min_label_mass=0"]
    own = [f"engine.adapter={models / 'lora'}", "prompt.chat=never", f"run.dir={tmp_path / 'run'}"]
    done = quick_job("judge", *line, *prompt, *own)
    assert "taken to be the same" not in done.stderr
    found = result(tmp_path / "run")
    model = theirs("LlamaForCausalLM", models / "base", models / "lora")
    expected = plain(model, requests(str(WORDS["template"]), around=False), [((4,),), ((5,),), ((6,),)])
    np.testing.assert_allclose(asked(found), expected, atol=TOLERANCE)
    assert "engine.adapter" in (tmp_path / "run" / "report.html").read_text()
    other = shutil.copytree(models / "lora", tmp_path / "lora")
    edit(other, lora_alpha=9)
    refused = quick_job("judge", *line, *prompt, *own, f"engine.adapter={other}", code=2)
    assert "engine.adapter_hash" in refused.stderr


def test_a_classifier_with_a_lora(quick_job: Job, line: list[str], models: Path, tmp_path: Path) -> None:
    classes = ["judge.mode=classes", "prompt=classifier_en"]
    moved = shutil.copytree(models, tmp_path / "models")
    own = [f"engine.model={moved / 'base'}", f"engine.adapter={moved / 'classes'}", f"run.dir={tmp_path / 'run'}"]
    quick_job("judge", *line, *classes, *own)
    found = result(tmp_path / "run")
    template = "<prompt>: {prompt}\n\n<response_a>: {response_a}\n\n<response_b>: {response_b}"
    model = theirs("LlamaForSequenceClassification", models / "base", models / "classes", num_labels=3)
    expected = class_logprobs(model, requests(template, around=True))
    np.testing.assert_allclose(asked(found), expected, atol=TOLERANCE)
    ab, ba = np.exp(expected[0::2]), np.exp(expected[1::2])[:, [1, 0, 2]]
    means = np.column_stack([found[name] for name in ("p_a", "p_b", "p_tie")])
    np.testing.assert_allclose(means, (ab + ba) / 2, atol=TOLERANCE)
    said = "LABEL_0 = A, LABEL_1 = B, LABEL_2 = tie"
    assert said in (tmp_path / "run" / "log.txt").read_text()
    assert said in (tmp_path / "run" / "report.html").read_text()

    shutil.rmtree(moved)  # a rule and a report need no model
    summed = quick_job("evaluate", f"run.dir={tmp_path / 'run'}", "aggregate=both_orders")
    assert "both orders" in summed.stdout.lower()
    out = tmp_path / "cooler.csv"
    quick_job("merge", f"run.dir={tmp_path / 'run'}", f"merge.out={out}", "judge.temperature=2")
    assert out.is_file()
    quick_job("calibrate", f"run.dir={tmp_path / 'run'}", f"out={tmp_path / 'fit.json'}", "calibrate.force=true")


def test_a_whole_classifier_whose_classes_have_names(
    quick_job: Job, line: list[str], models: Path, tmp_path: Path
) -> None:
    own = [f"engine.model={models / 'three'}", f"run.dir={tmp_path / 'run'}", "judge.swap=none"]
    quick_job("judge", *line, "judge.mode=classes", "prompt=classifier_en", *own)
    found = result(tmp_path / "run")
    template = "<prompt>: {prompt}\n\n<response_a>: {response_a}\n\n<response_b>: {response_b}"
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(models / "three").eval()
    expected = np.exp(class_logprobs(model, requests(template, around=True)[::2]))[:, [1, 2, 0]]
    means = np.column_stack([found[name] for name in ("p_a", "p_b", "p_tie")])
    np.testing.assert_allclose(means, expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("job_name", "model", "overrides", "says"),
    [
        ("judge", "base", ["judge.mode=classes", "prompt=classifier_en"], "has no classes"),
        (
            "judge",
            "one",
            ["judge.mode=classes", "prompt=classifier_en"],
            "with one label it is a reward model",
        ),
        ("judge", "three", [], "one with three labels judges with judge.mode=classes"),
        ("judge", "three", ["judge.mode=classes"], "prompt.labels: has no effect with judge.mode=classes"),
        ("arena", "three", [], "has 3 labels, a reward model has one; one with three judges battles in jobs.judge"),
        ("judge", "lora", [], "holds an adapter (adapter_config.json)"),
    ],
)
def test_models_for_another_job_are_refused(
    quick_job: Job, line: list[str], models: Path, job_name: str, model: str, overrides: list[str], says: str
) -> None:
    engine = ["engine=smollm2_135m", f"engine.model={models / model}"]
    refused = quick_job(job_name, *line, *overrides, *engine, code=2)
    assert says in refused.stderr
