from dataclasses import replace

from lib.report.models.memory_page import FormatCost, MemoryTable, memory_lines, render_memory
from tests.report.svg import check, overflow, texts

FULL = FormatCost(
    format="fp32",
    computed_mib=1000.0,
    weights_mib=1001.0,
    loaded_mib=1050.5,
    peak_loading_mib=1100.0,
    peak_generating_mib=1200.0,
    baseline_mib=500.0,
    tokens_per_s=12.34,
    perplexity=5.6789,
)
FAILED = FormatCost(format="int8", computed_mib=260.0, error="not enough <memory>")
TABLE = MemoryTable(model="m<b>", device="cpu", prompts=8, new_tokens=64, text_tokens=1385, rows=[FULL, FAILED])


def svgs(page: str) -> list[str]:
    return ["<svg" + part.partition("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]


def test_a_format_that_failed_is_a_row_with_its_reason() -> None:
    lines = "\n".join(memory_lines(TABLE)).splitlines()
    assert lines[1].split() == ["fp32", "1,000.0", "1,001.0", "1,050.5", "1,100.0", "1,200.0", "12.3", "5.679"]
    assert lines[2].split() == ["int8", "260.0", *["–"] * 6]
    assert "int8: not enough <memory>" in lines
    assert "500 MiB" in "\n".join(lines)
    page = render_memory(TABLE)
    assert "int8: not enough &lt;memory&gt;" in page
    assert "m&lt;b&gt;" in page
    memory, speed = svgs(page)
    for svg in (memory, speed):
        check(svg)
        assert not overflow(svg)
    assert {"1,000", "1,001", "1,200", "260", "–"} <= set(texts(memory))
    assert {"12.3", "–"} <= set(texts(speed))


def test_gpus_are_named() -> None:
    lines = "\n".join(memory_lines(replace(TABLE, device="NVIDIA L4")))
    assert "torch.cuda" in lines
    assert "NVIDIA L4" in lines
    assert "RSS" not in lines


def test_nothing_but_the_computed_column_where_nothing_was_measured() -> None:
    unknown = FormatCost(format="nf4")
    table = replace(TABLE, device=None, rows=[FormatCost(format="fp32", computed_mib=1000.0), unknown])
    assert memory_lines(table)[0].splitlines()[1:] == ["fp32     1,000.0", "nf4            –"]
    (memory,) = svgs(render_memory(table))
    assert "weights" not in texts(memory)
    assert "1,000" in texts(memory)
