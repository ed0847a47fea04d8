"""The site of docs/: built without a warning, no link dead, and no page wider than a phone."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT

pytest.importorskip("mkdocs", reason="MKDOCS ABSENT: make docs installs it; the site was not checked")
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_that_leads_nowhere_ends_the_build(hooks, tmp_path):
    from mkdocs.exceptions import PluginError

    (tmp_path / "other.html").write_text('<h2 id="there">x</h2>')
    page = tmp_path / "index.html"
    page.write_text('<a href="other.html#there">x</a> <a href="https://example.org/">x</a> <img src="other.html">')
    hooks.on_post_build(SimpleNamespace(site_dir=tmp_path))
    for dead in ("none.html", "other.html#nowhere", "#nowhere"):
        page.write_text(f'<a href="{dead}">x</a>')
        with pytest.raises(PluginError, match=f"index.html: {dead}"):
            hooks.on_post_build(SimpleNamespace(site_dir=tmp_path))


def test_a_network_has_a_page_of_what_its_card_says(hooks):
    for name, card in hooks.CARDS.items():
        page = hooks._network(card)
        assert page.startswith(f"# {name}\n") and card["sha256"] in page
        for one in card["metrics"]["sets"].values():
            assert f"{one['sensitivity'][0]['distance']:.0f} ± {one['sensitivity'][0]['distance_error']:.0f}" in page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_site_reads_well_on_a_phone(site, hooks, browser):
    """No page is wider than the screen, and nothing is fetched from elsewhere."""
    pages = sorted(site.rglob("*.html"))
    assert {path.stem for path in pages} >= {*hooks.CARDS, *(path.stem for path in hooks.NOTEBOOKS), "index", "search"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    for path in pages:
        browser.get(path.as_uri())
        width, loaded = browser.execute_script(
            "return [document.documentElement.scrollWidth, performance.getEntriesByType('resource').map(each => each.name)]"
        )
        assert width <= PHONE["width"], path
        assert all(name.startswith("file:") for name in loaded), path
