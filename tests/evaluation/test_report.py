import pytest

from keras_gw_resnet.evaluation.plots import new_figure
from keras_gw_resnet.evaluation.report import figure_html, table_html, text_html, write_page


@pytest.fixture
def page(tmp_path):
    figure, (axis,) = new_figure(1, 3)
    axis.plot([0, 1])
    header, row = [f"column {i}" for i in range(8)], [f"{i * 1000.5:.3f}" for i in range(8)]
    sections = [
        ("Table & <more>", table_html(header, [row] * 3) + text_html("one line", "<b>another</b>")),
        ("Picture", figure_html(figure, 'a "line" that rises')),
    ]
    write_page(tmp_path / "report.html", "Title <b>", sections)
    return tmp_path / "report.html"


def test_text_stays_text_and_nothing_is_fetched(page):
    text = page.read_text()
    assert "<title>Title &lt;b&gt;</title>" in text
    assert "&lt;b&gt;another&lt;/b&gt;" in text
    assert "a &quot;line&quot; that rises" in text
    assert "http" not in text
    assert 'src="data:image/png;base64,' in text


@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_shows_it_without_scrolling_sideways(page, browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 600},
    )
    browser.get(page.as_uri())
    assert browser.title == "Title <b>"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shown = "const i = document.querySelector('img'); return [i.naturalWidth, i.getBoundingClientRect().width]"
    natural, drawn = browser.execute_script(shown)
    assert natural > 500
    assert width / 3 < drawn <= width
    # The table is wider than a telephone: it scrolls within itself.
    inner = "const t = document.querySelector('.wide'); return t.scrollWidth > t.clientWidth"
    assert browser.execute_script(inner) == (width < 600)
