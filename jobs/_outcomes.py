"""What becomes of runs, by the name of their job: for commands about any run."""

from collections.abc import Mapping

from lib.pipeline.outcomes.base import Outcome
from lib.pipeline.outcomes.battle_outcome import BATTLES
from lib.pipeline.outcomes.format_outcome import VECTORS
from lib.pipeline.outcomes.grade_outcome import GRADES
from lib.pipeline.outcomes.passage_outcome import PASSAGES
from lib.pipeline.outcomes.rating_outcome import RATINGS
from lib.pipeline.outcomes.text_outcome import TEXTS

OUTCOMES: Mapping[str, Outcome] = {
    "judge": BATTLES,
    "arena": BATTLES,
    "generate": TEXTS,
    "grade": GRADES,
    "embed": VECTORS,
    "retrieve": PASSAGES,
    "rerank": PASSAGES,
    "chunk": Outcome(),
    "tournament": RATINGS,
    "questions": Outcome(),  # a stage of jobs.rag
}
