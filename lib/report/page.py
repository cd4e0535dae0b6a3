"""One self-contained HTML page: no script, nothing loaded from elsewhere, light and dark, readable on a phone.

Everything but the figures is escaped: texts come from models and users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under a header (may be empty); all but the first column are set as numbers unless `prose`.

    links: from a row's first cell to a page beside this one, by the cell.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An `<svg>` element of ours (trusted, set in as it is), with the text that stands for it when read aloud.

    wide: it takes the whole width of the page. scrolls: on a narrow window it keeps a size at which it can be read.
    """

    svg: str
    description: str
    wide: bool = False
    scrolls: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with what stands under it: paragraphs, then a table, then a figure, each optional."""

    heading: str
    text: Sequence[str] = ()
    table: Table | None = None
    figure: Figure | None = None


def render(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as HTML; `lead` are its first paragraphs."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_PAGE).render(title=title, lead=lead, sections=sections)


# The policy keeps the page from loading anything, even if a text should slip through.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1d2129; --quiet: #5c6470; --line: #d9dde3; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --quiet: #9aa3b0; --line: #343b46; --paper: #14171c; }
}
body { margin: 0 auto; max-width: 58rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
p { margin: 0 0 .5rem; max-width: 42rem; }
section { margin-top: 2rem; }
section p { color: var(--quiet); font-size: .9375rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 2rem; }
.wide { grid-column: 1 / -1; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1.25rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 500; font-size: .875rem; }
td:last-child { overflow-wrap: anywhere; min-width: 4rem; }
.numbers :is(th, td):not(:first-child) { text-align: right; white-space: nowrap; }
.numbers td:first-child { min-width: 8rem; }
.prose td { white-space: pre-wrap; }
svg { display: block; width: 100%; height: auto; }
.scroll > svg { min-width: 34rem; }
a { color: inherit; text-underline-offset: .15em; }
@media print {
  :root { color-scheme: light; --ink: #000; --quiet: #444; --line: #bbb; --paper: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  section { break-inside: avoid-page; }
  section:has(tbody tr:nth-child(12)), section:has(.prose) { break-inside: auto; }
  tr { break-inside: avoid; }
  .scroll { overflow-x: visible; }
}
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for paragraph in lead %}
<p>{{ paragraph }}</p>
{% endfor %}
<div class="figures">
{% for section in sections %}
<section{% if not section.figure or section.figure.wide %} class="wide"{% endif %}>
<h2>{{ section.heading }}</h2>
{% for paragraph in section.text %}
<p>{{ paragraph }}</p>
{% endfor %}
{% if section.table %}
<div class="scroll"><table class="{{ 'prose' if section.table.prose else 'numbers' }}">
{% if section.table.header %}
<thead><tr>{% for cell in section.table.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
{% endif %}
<tbody>
{% for row in section.table.rows %}
<tr>{% for cell in row %}<td>{% if loop.first and cell in section.table.links %}<a href="{{ section.table.links[cell]
}}">{{ cell }}</a>{% else %}{{ cell }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endif %}
{% if section.figure %}
<div{% if section.figure.scrolls %} class="scroll"{% endif %} role="img" aria-label="{{ section.figure.description
}}">{{ section.figure.svg | safe }}</div> {% endif %} </section> {% endfor %} </div> </body> </html>
"""
