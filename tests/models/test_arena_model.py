"""jobs.arena with a real architecture: a small Llama with one label, its weights random, over the 100 real battles."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

MAX_MODEL_LEN = 256
TOLERANCE = 1e-5  # of scores, at fp32: batches of another size add up in another order (measured: 1.4e-6)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def battles(shared: Path) -> Path:
    return shared / "arena_kaggle" / "train_first100.csv"


@pytest.fixture(scope="module")
def model(battles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and a tokenizer trained on the battles; padding is the end of text, as it often is."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("reward-model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pd.read_csv(battles)["response_a"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(folder)

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=MAX_MODEL_LEN,
        initializer_range=0.1,
        num_labels=1,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    assert (folder / "model.safetensors").exists()
    return folder


@pytest.fixture(scope="module")
def runs(
    job: Job, quick_job: Job, model: Path, battles: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Finished runs, one for each rule: with 16 rows a batch, and with one; and one with vLLM."""
    folder = tmp_path_factory.mktemp("runs")
    line = ["data=arena", f"data.path={battles}", "executor=inline", f"engine.max_model_len={MAX_MODEL_LEN}"]
    line += [f"engine.model={model}", "engine.gguf_file=null"]
    davidson = ["arena.rule=davidson", "arena.scale=2", "arena.log_nu=-1"]
    runs = {
        "davidson": ["engine=smollm2_135m", *davidson, f"engine.batch_tokens={16 * MAX_MODEL_LEN}"],
        "threshold": ["engine=smollm2_135m", "arena.rule=threshold", "engine.batch_tokens=1"],
        "vllm": ["engine=smollm2_135m_vllm", *davidson],
    }
    for name, overrides in runs.items():
        run = job if name == "vllm" else quick_job
        run("arena", *line, *overrides, f"run.dir={folder / name}", OMP_NUM_THREADS="1")
    return {name: folder / name for name in runs}


def result(run: Path) -> pd.DataFrame:
    return pq.read_table(run / "result.parquet").to_pandas()


def scores(run: Path) -> np.ndarray:
    """[rows, 2]"""
    return result(run)[["score_a", "score_b"]].to_numpy()


def test_every_row_is_scored_and_the_submission_is_valid(runs: dict[str, Path], battles: Path) -> None:
    for run in runs.values():
        found = result(run)
        assert found["error"].isna().all()
        assert (found["tokens"] <= 2 * MAX_MODEL_LEN).all()
        submission = pd.read_csv(run / "submission.csv")
        assert submission["id"].tolist() == pd.read_csv(battles)["id"].tolist()
        assert submission.drop(columns="id").sum(axis=1).to_numpy() == pytest.approx(np.ones(100), abs=1e-9)


def test_scores_do_not_depend_on_the_batch(runs: dict[str, Path]) -> None:
    alone, together = scores(runs["threshold"]), scores(runs["davidson"])
    assert np.std(alone) > 0.1  # so that the tolerance says something
    assert np.abs(alone - together).max() < TOLERANCE


def test_vllm_gives_the_same_scores(runs: dict[str, Path]) -> None:
    assert np.abs(scores(runs["vllm"]) - scores(runs["davidson"])).max() < TOLERANCE


def test_scores_are_those_of_an_independent_forward_pass(runs: dict[str, Path], model: Path, battles: Path) -> None:
    """One conversation at a time, without padding, by transformers' own head; of the battles that were not cut."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    found = result(runs["davidson"])
    uncut = (found[["cut_prompt", "cut_response_a", "cut_response_b"]] == 0).all(axis=1)
    assert 20 <= uncut.sum() < 100
    with battles.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    for row in np.flatnonzero(uncut):
        prompts = json.loads(cells[row]["prompt"])
        for side in "ab":
            responses = json.loads(cells[row][f"response_{side}"])
            chat = []
            for prompt, response in zip(prompts, responses, strict=True):
                chat += [{"role": "user", "content": prompt}, {"role": "assistant", "content": response or ""}]
            ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=False)
            assert ids.shape[1] <= MAX_MODEL_LEN
            with torch.inference_mode():
                score = classifier(input_ids=ids).logits.item()
            assert found[f"score_{side}"][row] == pytest.approx(score, abs=TOLERANCE), (row, side)


def test_rules_are_applied_to_the_scores(runs: dict[str, Path]) -> None:
    ties = 0
    for row in result(runs["davidson"]).to_dict("records"):
        difference = row["score_a"] - row["score_b"]
        weights = [math.exp(difference), math.exp(-difference), math.exp(-1)]  # scale 2, of which a half
        expected = [weight / sum(weights) for weight in weights]
        assert [row[name] for name in ("p_a", "p_b", "p_tie")] == pytest.approx(expected, abs=1e-9)
    for row in result(runs["threshold"]).to_dict("records"):
        difference = row["score_a"] - row["score_b"]
        p_a = 1 / (1 + math.exp(-difference))
        tied = abs(difference) < 0.08
        expected = [0.00005, 0.00005, 0.9999] if tied else [p_a - 0.0001, 0.9999 - p_a, 0.0002]
        assert [row[name] for name in ("p_a", "p_b", "p_tie")] == pytest.approx(expected, abs=1e-9)
        ties += tied
    assert 0 < ties < 100


def test_evaluate_fits_the_davidson_parameters(runs: dict[str, Path], quick_job: Job) -> None:
    done = quick_job("evaluate", f"run.dir={runs['davidson']}")
    assert "Davidson fitted on the labels: scale" in done.stdout
    metrics = json.loads((runs["davidson"] / "metrics.json").read_text())
    assert metrics["coverage"] == 1.0
    fit = metrics["davidson_fit"]
    assert fit.keys() == {"scale", "bias", "log_nu", "log_loss"}
    assert all(math.isfinite(value) for value in fit.values())
    assert fit["log_loss"] < metrics["log_loss"]
