"""The comparison of the saved networks: a table and a picture made from their cards alone."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_gw_resnet.card_page import table_of
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.leakage import trainings_of
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.names import recorded

BEGIN = "<!-- comparison of the saved networks: written by 'keras-gw-resnet models --report' -->"
END = "<!-- end of the comparison -->"
BEST = "<!-- best of the saved networks: written by 'keras-gw-resnet models --report' -->"
END_OF_BEST = "<!-- end of the best -->"
# Sets and false alarms a month at which sensitive distances are compared; the picture has the first rate of the sets in Gaussian noise.
SHOWN = {
    "set1": (1000.0, 100.0),
    "set3": (1000.0, 100.0),
    "set3 with glitches": (1000.0,),
    "set3 in measured noise": (1000.0,),
}
DRAWN, DETECTORS = ("set1", "set3"), ["H1", "L1"]
# At which false alarms a month the shares of glitches and of light binaries are compared.
SHARE_RATE = "100"
TOLERANCE = "signals.merger_tolerance"
# What of a configuration may differ between networks that are trained alike: the network, and how fast and from which signals on it is
# taught, which is said below their table.
TAUGHT = ("optimisation.learning_rate", "signals.snr_start", "signals.curriculum_epochs")
OF_NETWORK = (
    "network.model",
    "network.options",
    "ranking.statistic",
    "ranking.templates",
    "ranking.coherent",
    "ranking.consistency",
    TOLERANCE,
    *TAUGHT,
)


def write_comparison(cards: list[dict], pages: Sequence[Path], plot: Path, always: Iterable[str] = ()) -> None:
    """Write the tables of the saved networks into Markdown pages between their marks, and the picture.

    Between the lines `BEGIN` and `END` goes the table of all networks, between `BEST` and `END_OF_BEST` that of the best ones.

    Args:
        cards: Of the networks.
        pages: Markdown files, each with one of these pairs of lines or both.
        plot: Picture to write.
        always: Names of networks that belong to the best ones in any case, as the flagship.

    Raises:
        InputError: A page is missing or has no such lines; nothing is written then.
    """
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.set_plots import draw_comparison

    alike = _trained_alike(cards)
    columns = _columns(cards)
    best = _markdown(_best(cards, always), columns)
    tables = {(BEGIN, END): _comparison(cards, alike, columns), (BEST, END_OF_BEST): best}
    for page, text in [(Path(page), _filled(Path(page), tables)) for page in pages]:
        with written_aside(page) as aside:
            aside.write_text(text)
    # A set for other detectors has other injections.
    points = [point for card in cards if card["detectors"] == DETECTORS for point in _points(card)]
    save(draw_comparison(points, {card["name"] for card in alike}), plot)


def _filled(page, tables):
    """Return the text of a page with every table between its pair of lines."""
    try:
        text = page.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{page}: cannot be read; expected a Markdown page to write the comparison into") from error
    for begin, end in [marks for marks in tables if any(mark in text for mark in marks)] or tables:
        if text.count(begin) != 1 or text.count(end) != 1:
            raise InputError(f"{page}: expected the line {begin} and after it the line {end}")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{tables[begin, end]}\n{end}{rest.split(end)[1]}"
    return text


def _columns(cards):
    """Return {title: function of a card} of what is compared: the sets that a card has, and glitches and masses where one was tested with them."""

    def distance(name, rate):
        return lambda card: _distance(card, name, rate)

    measured = [card.get("metrics", {}) for card in cards]
    columns = {
        f"{name} at {rate:.0f} a month (Mpc)": distance(name, rate)
        for name, rates in SHOWN.items()
        for rate in rates
        if any(name in metrics.get("sets", {}) for metrics in measured)
    }
    for kind, title, shown in (
        ("glitches", f"glitches at {SHARE_RATE} a month", _glitches),
        ("masses", f"found of chirp mass 5 to 12 at {SHARE_RATE} a month", _light),
    ):
        if any(metrics.get(kind) for metrics in measured):
            columns[title] = shown
    return columns


def _comparison(cards, alike, columns):
    """Return the table of all networks, in two where some are trained alike and others are not."""
    others = [card for card in cards if card not in alike]
    if not (alike and others):
        return _markdown(cards, columns)
    training = _taught(alike[0])["training"]
    same = f"the same data, seed ({training['config']['seed']}), schedule and {training['examples']:,} examples"
    exceptions = "".join(f"\n\n{line}" for line in _exceptions(alike))
    return f"Trained alike: {same}.\n\n{_markdown(alike, columns)}{exceptions}\n\nOthers, each by its own recipe.\n\n{_markdown(others, columns)}"


def _best(cards, always):
    """Return those of the cards that see farthest on a set at one of the rates, and those of these names."""
    names = set(always)
    for name, rates in SHOWN.items():
        for rate in rates:
            rows = [(card["name"], _row_at(card, name, rate)) for card in cards]
            seen = [(row["distance"], network) for network, row in rows if row and row["rate"] == rate]
            names |= {max(seen)[1]} if seen else set()
    return [card for card in cards if card["name"] in names]


def _trained_alike(cards):
    """Return the largest group of cards whose trainings began afresh and differ in `OF_NETWORK` alone; [] without any two.

    One whose training is of one step counts as the network that it began with: what is ranked was added to that.
    A network without positions cannot learn where a signal is (`signals.merger_tolerance`): that is the network's difference. So is the weight of a
    ranking statistic that is set when the training is over (`ranking.statistic`).
    """
    groups, without_positions = {}, {}
    # What is as usual counts as not said: a card does not name options that came after it.
    usual = json.loads(json.dumps(TrainingConfig.of(model="resnet18", data="-").to_dict()))
    usual = recorded({"training": {"config": usual}})
    for card in cards:
        taught = _taught(card)
        training = taught.get("training", {})
        if "config" in training and not training.get("begun_with"):
            config = recorded(taught)
            same = {n: value for n, value in config.items() if n not in OF_NETWORK and usual.get(n) != value}
            key, tolerance = json.dumps([same, training["examples"]], sort_keys=True), config.get(TOLERANCE)
            if tolerance:
                groups.setdefault((key, tolerance), []).append(card)
            else:
                without_positions.setdefault(key, []).append(card)
    groups = {key: group + without_positions.get(key[0], []) for key, group in groups.items()} | without_positions
    largest = max(groups.values(), key=len, default=[])
    return largest if len(largest) > 1 else []


def _taught(card):
    """Return {"training": ...} that taught a network: where its own is of one step, which teaches nothing, that of the one it began with."""
    begun, config = card.get("training", {}).get("begun_with") or {}, recorded(card)
    one_step = config.get("epochs") == config.get("optimisation.steps_per_epoch") == 1
    return {"training": next(iter(begun.values()))} if one_step and len(begun) == 1 else card


def _exceptions(cards):
    """Yield what differs from most in how networks that are trained alike are taught, a line a network."""
    configs = [recorded(_taught(card)) for card in cards]
    every = [{name: json.dumps(config.get(name)) for name in TAUGHT} for config in configs]
    usual = {name: max(values := [own[name] for own in every], key=values.count) for name in TAUGHT}
    for card, own in zip(cards, every, strict=True):
        said = [
            f"`{name.split('.')[1]}` {own[name]} in place of {usual[name]}"
            for name in TAUGHT
            if own[name] != usual[name]
        ]
        if said:
            yield f"`{card['name']}` has {', '.join(said)}.".replace("null", "none")


def _row_at(card, name, rate):
    """Return the row of a card's sensitivity on a set at a rate, or where the background was too short the next lower."""
    rows = card.get("metrics", {}).get("sets", {}).get(name, {}).get("sensitivity", [])
    shown_rates = [row for row in rows if row["rate"] >= rate]
    return min(shown_rates, key=lambda row: row["rate"], default=None)


def _distance(card, name, rate):
    row = _row_at(card, name, rate)
    if row is None:
        return "-"
    at = "" if row["rate"] == rate else f" (at {row['rate']:.0f})"
    return f"{row['distance']:.0f} ± {row['distance_error']:.0f}{at}"


def _glitches(card):
    """Return the share of the glitches of the first bank of a card above its threshold, and how many there are."""
    row = _first_row(card, "glitches", "shares")
    return f"{row[SHARE_RATE]:.2f} of {row['glitches']}" if row else "-"


def _light(card):
    """Return the share that is found of the lightest signals of equal SNR."""
    row = _first_row(card, "masses", "found")
    return f"{row[SHARE_RATE]:.2f}" if row else "-"


def _first_row(card, kind, rows):
    """Return the first row of the first test of a kind in a card; None: there is none, or none with `SHARE_RATE`."""
    test = next(iter(card.get("metrics", {}).get(kind, {}).values()), None)
    row = test[rows][0] if test else {}
    return row if SHARE_RATE in row else None


def _markdown(cards, columns):
    titles = ["name", "network", "parameters", "Mmul-add/s", "examples", *columns]
    rows = []
    for card in sorted(cards, key=lambda card: card.get("multiply_adds", 0)):
        examples = sum(training.get("examples", 0) for training in trainings_of(card))
        rows.append(
            [
                f"`{card['name']}`",
                card["model"],
                f"{card['parameters']:,}",
                f"{card['multiply_adds'] / 1e6:.0f}" if "multiply_adds" in card else "-",
                f"{examples:,}" if examples else "-",
                *(shown(card) for shown in columns.values()),
            ]
        )
    return table_of(titles, rows)


def _points(card):
    """Yield (set, network, multiply-adds per second of strain, distance, error) at the first of the rates."""
    for name in DRAWN:
        row = _row_at(card, name, SHOWN[name][0])
        if row is not None and "multiply_adds" in card:
            yield name, card["name"], card["multiply_adds"], row["distance"], row["distance_error"]
