"""What every picture of ours must be, and what can be read in it."""

import re
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def check(svg):
    """One element that scales, in the page's colour and font, and refers to nothing outside itself."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    assert root.get("width") is root.get("height") is None
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "font-family" not in svg
    references = {value for key, value in re.findall(r'((?:xlink:)?href|src)="([^"]*)"', svg)}
    assert all(value.startswith("#") for value in references)
    return root


def texts(svg):
    """The texts of a figure, in the order of drawing."""
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def box(svg):
    """Width and height in points."""
    return tuple(float(value) for value in ElementTree.fromstring(svg).get("viewBox").split()[2:])


def fills(svg):
    """How strongly each area of our colour is filled, in the order of drawing."""
    return [float(value) for value in re.findall(r'style="fill: #4a88d8; opacity: ([\d.]+)', svg)]


def overflow(svg):
    """Texts that may leave the picture to the left or the right, reckoned with 0.55 em a column (1.1 em wide)."""
    from lib.report.tables import display_width

    width, _ = box(svg)
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        style = element.get("style")
        assert "rotate(-0" in element.get("transform", "rotate(-0") or "rotate(0" in element.get("transform")
        size = float(re.search(r"font-size: ([\d.]+)px", style)[1])
        text = "".join(element.itertext())
        length = 0.55 * size * display_width(text)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[re.search(r"text-anchor: (\w+)", style)[1]]
        start = float(element.get("x")) - before * length
        if start < 0 or start + length > width:
            found.append(text)
    return found
