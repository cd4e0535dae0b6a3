"""Answers on a page: each question with what every system wrote, and the passages it was given."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.data.answers import Answer
from lib.data.atomic import write_text
from lib.report.page import Section, Table, render

Answers = Mapping[str, Mapping[str, Answer]]
"""System -> question id -> answer."""

_MOST_QUESTIONS = 20
_MOST_CHARACTERS = 300  # of a passage
STAGE_HEADER = ("stage", "rows", "seconds", "", "cut")


def answer_sections(answers: Answers, verdicts: Mapping[str, Table] | None = None) -> list[Section]:
    """For each of the first questions: the answers side by side, the verdicts on them, then their passages.

    verdicts: by question id, where answers were judged.
    """
    first = next(iter(answers.values()))
    sections = []
    for key, answer in list(first.items())[:_MOST_QUESTIONS]:
        own = {name: theirs[key] for name, theirs in answers.items()}
        table = Table(header=("system", "answer", "ended by"), rows=[_row(*item) for item in own.items()], prose=True)
        sections.append(Section(heading=answer.question, table=table))
        if verdicts and key in verdicts:
            sections.append(Section(heading=f"Verdicts on: {answer.question}", table=verdicts[key]))
        if passages := [row for name, one in own.items() for row in _passage_rows(name, one)]:
            header = ("system", "", "score", "where (characters)", "passage")
            table = Table(header=header, rows=passages, prose=True)
            sections.append(Section(heading=f"Passages for: {answer.question}", table=table))
    if len(first) > _MOST_QUESTIONS:
        rest = f"… and {len(first) - _MOST_QUESTIONS:,} more questions, in the runs' result.parquet."
        sections.append(Section(heading="Further questions", text=[rest]))
    return sections


def stage_section(stages: Sequence[Sequence[str]]) -> list[Section]:
    """What was done, and how long it took; nothing for no stages."""
    if not stages:
        return []
    return [Section(heading="Stages", table=Table(header=STAGE_HEADER, rows=stages))]


def write_answers(answers: Answers, path: Path, title: str, stages: Sequence[Sequence[str]]) -> None:
    """A page of its own."""
    first = next(iter(answers.values()))
    lead = [f"{len(first):,} questions, answered by {', '.join(answers)}."]
    write_text(path, render(title, lead, [*answer_sections(answers), *stage_section(stages)]))


def _row(name: str, answer: Answer) -> tuple[str, str, str]:
    if answer.text is None:
        return name, f"(failed: {answer.error})", "–"
    return name, answer.text, answer.finish_reason or "–"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _passage_rows(name: str, answer: Answer) -> list[tuple[str, ...]]:
    return [
        (name, str(place), "–" if p.score is None else f"{p.score:.4f}", p.where or p.id, _shortened(p.text))
        for place, p in enumerate(answer.passages, 1)
    ]
