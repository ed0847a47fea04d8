"""Networks of Hugging Face's hub, by addresses such as hf://OWNER/NAME."""

import functools
from pathlib import Path

from keras_gw_resnet.archives import NETWORK_FILES
from keras_gw_resnet.errors import InputError, first_line

# pathlib makes one of two slashes.
HUB = "hf:/"


def _bar():
    """Return a bar of the kind that huggingface_hub asks for, which shows on a terminal alone."""
    from tqdm.asyncio import tqdm_asyncio

    class Bar(tqdm_asyncio):
        def __init__(self, *given, **options):
            super().__init__(*given, **{**options, "disable": None})

    return Bar


def is_address(name_or_path: Path | str) -> bool:
    """Say whether this is an address of the hub."""
    return str(name_or_path).startswith(HUB)


@functools.cache
def fetched(address: Path | str) -> Path:
    """Fetch a network of the hub into the cache of huggingface_hub, unless it is there; return its folder.

    The hub is asked once in a process, so that model and card are of one revision.

    Args:
        address: hf://OWNER/NAME.

    Raises:
        InputError: huggingface_hub is not installed, or there is no such network, or the hub cannot be reached.
    """
    repository = str(address).removeprefix(HUB).strip("/")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(f"hf://{repository}: takes huggingface_hub; pip install huggingface_hub") from None
    try:
        folder = Path(snapshot_download(repository, allow_patterns=list(NETWORK_FILES), tqdm_class=_bar()))
    except Exception as error:  # of huggingface_hub, and of whichever client it asks the hub with
        raise InputError(
            f"hf://{repository}: cannot be fetched ({first_line(error)}); expected hf://OWNER/NAME of a network with model.keras "
            "and card.json, and a hub that can be reached"
        ) from error
    if lacking := [name for name in NETWORK_FILES if not (folder / name).is_file()]:
        raise InputError(
            f"hf://{repository}: has no {' and no '.join(lacking)}; expected what 'models --publish' writes"
        )
    return folder
