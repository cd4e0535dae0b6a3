import re

from lib.report.page import Figure, Section, Table, render

HOSTILE = "<script>alert('x')</script> {{ 7 * 7 }} \" onload=\"x"


def page():
    table = Table(header=(HOSTILE, "n"), rows=[(HOSTILE, "1")])
    figure = Figure(svg="<svg><g/></svg>", description=HOSTILE)
    return render(HOSTILE, [HOSTILE], [Section(heading=HOSTILE, text=[HOSTILE], table=table, figure=figure)])


def test_texts_are_shown_not_obeyed():
    html = page()
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(") == 8  # title twice, lead, heading, text, head, cell, description
    assert "49" not in html
    assert '" onload="' not in html
    assert "<svg><g/></svg>" in html


def test_the_page_needs_nothing_else():
    html = page()
    assert "default-src 'none'" in html
    assert not re.search(r"(src|href|url)\s*[=(]", html)
    assert "@import" not in html


def test_the_page_suits_phones_and_the_dark():
    html = page()
    assert 'content="width=device-width' in html
    assert "prefers-color-scheme: dark" in html


def test_parts_that_are_not_there_leave_no_trace():
    html = render("t", [], [Section(heading="h", table=Table(header=(), rows=[("a", "b")]))])
    assert "<thead" not in html
    assert "<svg" not in html
    assert "<td>a</td><td>b</td>" in html


def test_a_wide_figure_has_the_whole_width():
    for wide in (True, False):
        figure = Figure(svg="<svg></svg>", description="d", wide=wide)
        assert ('<section class="wide">' in render("t", [], [Section(heading="h", figure=figure)])) is wide
