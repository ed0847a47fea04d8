"""What the site has beside the pages of docs/: networks from their cards, notebooks, the reference, and a check of every link."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

import keras_gw_resnet
from keras_gw_resnet.card_page import facts_of, sections_of
from keras_gw_resnet.evaluation.set_plots import draw_sensitivity

ROOT = Path(__file__).parent.parent
CARDS = {path.parent.name: json.loads(path.read_text()) for path in sorted(ROOT.glob("saved_models/*/card.json"))}
NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
ROOMS = ("models", "strain", "simulation", "datasets", "search", "evaluation", "training")
# Pages that stand elsewhere in the repository.
OUTSIDE = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
DRAWN = {path.stem: path.name for path in (Path(__file__).parent / "architectures").glob("*.png")}


def on_config(config):
    """Put the pages that are made here into the navigation."""
    sections = {title: pages for section in config.nav for title, pages in section.items()}
    named, there = sections["Tutorials"], {path.stem: path for path in NOTEBOOKS}
    if set(named) != set(there):
        raise PluginError(f"mkdocs.yml, Tutorials: expected {', '.join(there)}")
    named[:] = [{_cells(there[name])[0]["source"][0].strip("# \n"): f"tutorials/{name}.md"} for name in named]
    sections["Zoo"] += [{name: f"zoo/{name}.md"} for name in CARDS]
    sections["Reference"] += [{"Public names": "reference/index.md"}]
    sections["Reference"] += [{room: f"reference/{room}.md"} for room in ROOMS]
    return config


def on_files(files, config):
    """Add the pages that are made here."""
    made = {page: (ROOT / source).read_text().replace("](docs/", "](") for page, source in OUTSIDE.items()}
    made |= {f"tutorials/{path.stem}.md": _notebook(path) for path in NOTEBOOKS}
    made |= {f"reference/{room}.md": _room(room) for room in ROOMS} | {"reference/index.md": _public()}
    for name, card in CARDS.items():
        made[f"zoo/{name}.md"] = _network(card)
        for known, one in card["metrics"].get("sets", {}).items():
            picture = BytesIO()
            rows = {name: one["sensitivity"]}
            draw_sensitivity(rows, f"{name} on {known}", known).savefig(picture, format="svg")
            made[f"zoo/{name}-{_file_name(known)}.svg"] = picture.getvalue()
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, page, **_):
    """Lead to the pages that are made here."""
    if page.file.src_uri == "zoo.md":
        markdown = re.sub(r"^\| `([\w-]+)` \|", r"| [`\1`](zoo/\1.md) |", markdown, flags=re.MULTILINE)
    if page.file.src_uri.startswith("tutorials/"):
        markdown = re.sub(r"\]\(([\w-]+)\.md", r"](../\1.md", markdown)
    markdown = re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](tutorials/\1.md)", markdown)
    return markdown.replace("](../CONTRIBUTING.md", "](contributing.md").replace("](../CHANGELOG.md", "](changelog.md")


def on_page_content(html, **_):
    """Let a picture lead to itself, so that it can be enlarged on a phone."""
    return re.sub(r'(<img [^>]*src="([^"]+)"[^>]*>)', r'<a href="\2">\1</a>', html)


def on_post_build(config):
    """Refuse a site with a link to a file or a heading that is not there."""
    site = Path(config.site_dir)
    pages = {path: _Links(path.read_text()) for path in site.rglob("*.html")}
    dead = []
    for page, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = target.is_file() and (
                not parts.fragment or target not in pages or parts.fragment in pages[target].names
            )
            dead += [] if there else [f"{page.relative_to(site)}: {link}"]
    if dead:
        raise PluginError("dead links:\n" + "\n".join(sorted(set(dead))))


class _Links(HTMLParser):
    """What a page links to, and the names of its places."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], {"", "__top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect links and names."""
        given = dict(attrs)
        self.links += [given[name] for name in ("href", "src") if given.get(name)]
        self.names |= {given[name] for name in ("id", "name") if given.get(name)}


def _cells(path):
    return json.loads(path.read_text())["cells"]


def _notebook(path):
    """Return a notebook as a page: its text, its code, and what the code printed where the notebook says."""
    parts = []
    for cell in _cells(path):
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            text = "".join(output.get("text", output.get("data", {}).get("text/plain", [])))
            parts += [f"```text\n{text.rstrip()}\n```"] if text else []
    parts.insert(1, f"[Download the notebook](../{path.name})")
    return "\n\n".join(parts) + "\n"


def _room(room):
    """Return the reference of a room: every module of it with a public name."""
    modules = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "keras_gw_resnet" / room).rglob("*.py"))
    names = [".".join(path.parts) for path in modules if not path.name.startswith("_")]
    body = "\n\n".join(f"::: {name}\n    options: {{show_root_full_path: true}}" for name in names)
    return f"# {room}\n\n{body}\n"


def _public():
    """Return the reference of what `import keras_gw_resnet` offers."""
    named = [f"keras_gw_resnet.{keras_gw_resnet._PUBLIC[name]}.{name}" for name in keras_gw_resnet.__all__]
    body = "\n\n".join(f"::: {name}" for name in named)
    return f"# Public names\n\nWhat `import keras_gw_resnet` offers.\n\n{body}\n"


def _file_name(text):
    return text.replace(" ", "-")


def _network(card):
    """Return the page of a saved network, made from its card."""
    name = card["name"]
    parts = [f"# {name}", facts_of(card)]
    parts.append(f'```python\nfrom keras_gw_resnet import Detector\n\ndetector = Detector.load("{name}")\n```')
    drawing = next((DRAWN[one] for one in DRAWN if one.startswith(re.match(r"[a-z]+", card["model"])[0])), None)
    if drawing:
        parts.append(
            f"![{drawing[:-4]}](../architectures/{drawing})\n\n*The family, drawn for `{drawing[:-4]}`: [family by family](../architectures.md).*"
        )
    pictures = {f"Distances: {known}": known for known in card["metrics"].get("sets", {})}
    for heading, text in sections_of(card).items():
        parts += [f"## {heading}", text]
        if known := pictures.get(heading):
            parts.append(f"![Sensitive distance on {known}]({name}-{_file_name(known)}.svg)")
    parts.append("What glitches and measured strain change is in [real noise](../real-noise.md).")
    return "\n\n".join(parts) + "\n"
