"""What calibrations are worth: a table for the terminal, and a page with the reliability before and after."""

from collections.abc import Sequence

from lib.report.figures import reliability_diagram
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table
from lib.scoring.calibrating.choosing import Comparison, HeldOut
from lib.scoring.inference.estimates import Estimate
from lib.scoring.metrics import reliability

HEADER = ("", "log loss", "to raw [95 %]", "to prior [95 %]")


def comparison_rows(found: Comparison) -> list[tuple[str, str, str, str]]:
    """A row for the prior, the raw probabilities and each method."""
    own = (("prior", found.prior), ("raw", found.raw), *found.methods.items())
    return [(name, f"{held.log_loss:.5f}", *_differences(name, held)) for name, held in own]


def comparison_table(found: Comparison) -> str:
    """The same as lines for the terminal."""
    return text_table(HEADER, comparison_rows(found))


def interval_text(found: Estimate, sign: str = "+") -> str:
    """A difference with its interval, or a figure without a sign."""
    ends = "" if found.low is None else f" [{found.low:{sign}.5f}, {found.high:{sign}.5f}]"
    return f"{found.value:{sign}.5f}{ends}"


def interval_content(found: Estimate) -> dict[str, float | None]:
    """The same for JSON."""
    return {"mean": found.value, "low": found.low, "high": found.high}


def render_calibration(
    title: str, lead: Sequence[str], found: Comparison, chosen: str, parameters: Sequence[tuple[str, str]]
) -> str:
    """The page. lead: its first paragraphs; parameters: of the chosen method, and what it was fitted on."""
    before, after = found.raw, found.methods[chosen]
    return render(
        title,
        lead,
        [
            Section(
                heading="Methods",
                text=[
                    f"Log loss of rows that a method was not fitted on ({found.folds} folds of whole questions), and "
                    "how far it is below (-) or above (+) that of the probabilities as they are, and that of the "
                    "shares of the labels. 95 % intervals, clustered by question.",
                ],
                table=Table(header=HEADER, rows=comparison_rows(found)),
            ),
            _reliability("Before", found, before),
            _reliability(f"After: {chosen}, on rows held out", found, after),
            Section(heading="What was fitted", table=Table(header=(), rows=parameters, prose=True)),
        ],
    )


def _reliability(heading: str, found: Comparison, held: HeldOut) -> Section:
    bins = reliability(held.probabilities, found.labels)
    return Section(
        heading=heading,
        text=["Dashed: perfect calibration. Whiskers: 95 % intervals."],
        figure=Figure(svg=reliability_diagram(bins), description=f"Accuracy by confidence of the verdict: {heading}"),
    )


def _differences(name: str, held: HeldOut) -> tuple[str, str]:
    to_raw = "" if name == "raw" else interval_text(held.to_raw)
    return to_raw, "" if name == "prior" else interval_text(held.to_prior)
