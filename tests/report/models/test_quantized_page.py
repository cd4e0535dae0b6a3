from dataclasses import replace

from lib.report.models.quantized_page import QuantizedCopy, quantized_lines, render_quantized

COPY = QuantizedCopy(
    model="m<b>",
    to="nf4",
    dtype="float32",
    device="cpu",
    source_bytes=512 << 20,
    copy_bytes=165 << 20,
    memory_bytes=166 << 20,
    copy_memory_bytes=167 << 20,
    quantising_s=8.765,
    loading_s=0.5,
    asked="label_logprobs",
    answers=64,
    largest_difference=0.0,
)


def test_sizes_times_and_whether_it_is_the_same() -> None:
    lines = "\n".join(quantized_lines(COPY)).splitlines()
    assert lines[1].split() == ["quantised", "while", "loading", "512.0", "166.0", "8.77"]
    assert lines[2].split() == ["copy", "165.0", "167.0", "0.50"]
    assert (
        "64 log-probabilities of tokens (natural logarithm) of both were compared: they are the same, bit" in lines[3]
    )
    page = render_quantized(COPY)
    assert "m&lt;b&gt; in nf4" in page
    assert "bit for bit" in page


def test_a_difference_is_told() -> None:
    said = "\n".join(quantized_lines(replace(COPY, asked="embed", largest_difference=2.34e-7)))
    assert "64 values of unit vectors of both were compared: they differ by 2.3e-07 at most." in said
    assert "bit for bit" not in said
