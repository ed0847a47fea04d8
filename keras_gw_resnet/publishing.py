"""Folders of saved networks that Hugging Face's hub and Zenodo take as they are."""

import hashlib
import json
import zipfile
from pathlib import Path

from keras_gw_resnet.archives import WEIGHTS_MEMBER, check_archive
from keras_gw_resnet.card_page import facts_of, sections_of
from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.files import check_output, written_aside
from keras_gw_resnet.models.weights import find_model_file, list_saved, require_sha256, saved_models_folder
from keras_gw_resnet.zoo import load_card

SUMS, ABOUT, ZENODO = "SHA256SUMS", "README.md", ".zenodo.json"
# What Keras itself reads of hf://OWNER/NAME: a .keras file, unpacked.
UNPACKED = ("config.json", "metadata.json", WEIGHTS_MEMBER)
TAGS = ("keras", "gravitational-waves", "time-series", "residual-network")


def publish(name_or_path: Path | str, folder: Path | str, overwrite: bool = False) -> list[Path]:
    """Write a saved network as a folder for a hub: weights, card, recipe, a README with metadata, and the sha256 of each.

    Args:
        name_or_path: Name in saved_models, its folder, or its model.keras.
        folder: Where to write.
        overwrite: Whether a folder that was written so before is replaced.

    Returns:
        Paths of the files.

    Raises:
        InputError: There is no such network, or its file is damaged or another than its card says, or its card does not say
            what the README does; or the folder cannot be written, or holds something else.
    """
    folder, file, card = Path(folder), find_model_file(name_or_path), load_card(name_or_path)
    require_sha256(file, card["sha256"])
    check_archive(file)
    content = {"model.keras": file.read_bytes()}
    with zipfile.ZipFile(file) as archive:
        content |= {name: archive.read(name) for name in UNPACKED}
    content["card.json"] = (json.dumps(card, indent=1) + "\n").encode()
    if (recipe := file.parent / "recipe.yaml").is_file():
        content["recipe.yaml"] = recipe.read_bytes()
    try:
        content[ABOUT] = _readme(card).encode()
        content[ZENODO] = (json.dumps(_zenodo(card), indent=1) + "\n").encode()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file.parent / 'card.json'}: does not say what the page of a network does ({type(error).__name__}: "
            f"{first_line(error)}); train the network again, or give it a card with keras-gw-resnet adopt"
        ) from error
    content[SUMS] = "".join(f"{hashlib.sha256(own).hexdigest()}  {name}\n" for name, own in content.items()).encode()
    check_output(folder, overwrite, folder_of=content)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SUMS).is_file():
        raise InputError(f"{folder}: was not published, it has no {SUMS}; choose another output path")
    with written_aside(folder.resolve()) as aside:
        aside.mkdir()
        for name, own in content.items():
            (aside / name).write_bytes(own)
    return [folder / name for name in content]


def _version(card):
    return card["packages"]["keras-gw-resnet"]


def _ships(card):
    """Say whether a network is one of the project's own, not another of that name."""
    name = card["name"]
    return name in list_saved() and load_card(saved_models_folder() / name)["sha256"] == card["sha256"]


def _quoted(text):
    """Return text as a string of YAML, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


def _title(card):
    return f"{card['name']}: a network that finds gravitational waves of binary black holes in strain of {', '.join(card['detectors'])}"


def _readme(card):
    """Return the page of a network: YAML that the hub reads, how to load it, and what the card says."""
    metadata = ["---", "library_name: keras", *(["license: mit"] if _ships(card) else []), "tags:"]
    metadata += [f"- {tag}" for tag in (*TAGS, _quoted(card["model"]))]
    metadata += [*_results(card), "---"]
    shape = f"(batch, {card['window_samples']}, {len(card['detectors'])})"
    use = f"""```python
from keras_gw_resnet import Detector

detector = Detector.load("hf://OWNER/NAME")   # or the path of this folder
print(detector.events("GW150914"))
```

Keras reads it without keras_gw_resnet, too. It takes whitened strain, float32 {shape} at {card["sample_rate"]} Hz, and gives one logit a window:

```python
import keras

model = keras.saving.load_model("hf://OWNER/NAME")   # or "model.keras"
```

`sha256sum -c {SUMS}` checks the files. Made with keras_gw_resnet {_version(card)}."""
    parts = ["\n".join(metadata), f"# {card['name']}", f"{_title(card)}.", use, facts_of(card)]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections_of(card).items()]
    return "\n\n".join(parts) + "\n"


def _results(card):
    """Yield the lines of `model-index`, with the sensitive distances of the card; none without any."""
    rows = [
        (known, row)
        for known, one in card.get("metrics", {}).get("sets", {}).items()
        for row in one["sensitivity"]
        if row["distance"] is not None
    ]
    if not rows:
        return
    yield from ("model-index:", f"- name: {_quoted(card['name'])}", "  results:")
    for known, row in rows:
        yield from (
            "  - task: {type: other, name: search for gravitational waves}",
            f"    dataset: {{type: mlgwsc-1, name: {_quoted(known)}}}",
            "    metrics:",
            f"    - {{type: sensitive-distance, name: sensitive distance in Mpc at {row['rate']:.4g} false alarms a month, "
            f"value: {row['distance']:.0f}}}",
        )


def _zenodo(card):
    """Return the metadata that Zenodo asks for."""
    return {
        "title": _title(card),
        "upload_type": "software",
        "description": f"Weights and card of {card['name']} ({card['model']}), made with keras_gw_resnet {_version(card)}. README.md says how to load it.",
        "creators": [{"name": "keras_gw_resnet contributors"}],
        "keywords": [*TAGS, card["model"]],
        "version": _version(card),
    }
