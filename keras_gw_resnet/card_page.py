"""What the card of a saved network says, as Markdown: for the site's page of the network, and for the folder that is published."""

from collections.abc import Iterable, Sequence


def table_of(titles: Sequence, rows: Iterable[Sequence]) -> str:
    """Return a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def facts_of(card: dict) -> str:
    """Return the table of what a network is and takes."""
    facts = {
        "network": f"`{card['model']}`",
        "parameters": f"{card['parameters']:,}",
        "multiply-adds": f"{card['multiply_adds'] / 1e6:.0f} million a second of strain",
        "detectors": ", ".join(card["detectors"]),
        "window": f"{card['window_samples']} samples at {card['sample_rate']} Hz",
        "merger in the window": f"{card['timing']['merger_seconds']:.3f} s, within {card['timing']['tolerance_seconds']:g} s",
        "Keras": f"`{card['keras']}`",
        "sha256 of model.keras": f"`{card['sha256']}`",
    }
    return table_of(["fact", "value"], facts.items())


def sections_of(card: dict) -> dict[str, str]:
    """Return {heading: Markdown} of options, training, distances on sets, glitch tests and what is found by chirp mass."""
    metrics, options = card.get("metrics", {}), [(f"`{key}`", f"`{value}`") for key, value in card["options"].items()]
    chosen = f"\n\nHow it was chosen: {card['selection']}." if card.get("selection") else ""
    return {
        "Options": table_of(["option", "value"], options),
        "Training": _training(card.get("training", {})) + chosen,
        **{f"Distances: {known}": _set(one) for known, one in metrics.get("sets", {}).items()},
        **{f"Glitches: {bank}": _glitches(one) for bank, one in metrics.get("glitches", {}).items()},
        **{f"Found by chirp mass: {known}": _masses(one) for known, one in metrics.get("masses", {}).items()},
    }


def _training(training):
    settings = training.get("config", {})
    begun = training.get("begun_with") or {}
    rows = [("begun with", f"`{name}`{_taught(own)}") for name, own in begun.items()]
    rows += [
        ("examples" + " after that" * bool(begun), f"{training.get('examples', 0):,}"),
        ("epochs", training.get("epochs", "-")),
        ("seed", settings.get("seed", "-")),
    ]
    for room in ("signals", "negatives", "optimisation", "ranking"):
        rows += [
            (f"`{room}.{key}`", f"`{value}`")
            for key, value in settings.get(room, {}).items()
            if value not in (None, 0, False)
        ]
    return table_of(["setting", "value"], rows)


def _taught(training):
    """Say how many examples a network that another begins with was trained on; "": its card does not say."""
    return f", trained on {training['examples']:,} examples" if training.get("examples") else ""


def _set(one):
    rows = [
        (
            f"{row['rate']:.0f}",
            f"{row['threshold']:.2f}",
            f"{row['distance']:.0f} ± {row['distance_error']:.0f}",
            f"{row['found_fraction']:.3f}",
        )
        for row in one["sensitivity"]
        if row["distance"] is not None
    ]
    hours = f"{one['hours']['foreground']:.1f} h of foreground with {one['injections']} injections, {one['hours']['background']:.1f} h of background.{_noise(one)}"
    table = table_of(["false alarms a month", "threshold", "sensitive distance (Mpc)", "found fraction"], rows)
    return f"{hours}\n\n{table}"


def _noise(one):
    """Say what noise of a set is not Gaussian."""
    noise = one.get("noise") or {}
    if "distinct_seconds" in noise:
        seconds = ", ".join(f"{value} s of {name}" for name, value in noise["distinct_seconds"].items())
        return f" Measured strain, slid: {seconds}, each used {max(noise['most_uses'].values())} times at most."
    if "glitches_a_minute" in noise:
        rates = ", ".join(f"{value:g} in {name}" for name, value in noise["glitches_a_minute"].items())
        return f" Gaussian noise with recorded glitches, so many a minute: {rates}."
    return ""


def _glitches(one):
    rows = [(row["group"], row["glitches"], row) for row in one["shares"]]
    return _shares("real glitches", one, ("kind", "glitches"), rows)


def _masses(one):
    rows = [("{:g} to {:g}".format(*row["chirp_mass"]), row["signals"], row) for row in one["found"]]
    return _shares("simulated signals", one, ("chirp mass (solar masses)", "signals"), rows)


def _shares(what, one, titles, rows):
    """Return what a test says of shares above its thresholds; rows are (kind, number, {rate: share})."""
    rates = list(one["thresholds"])
    shares = [
        (kind, number, *(f"{row[rate]:.2f}" if rate in row else "-" for rate in rates)) for kind, number, row in rows
    ]
    table = table_of([*titles, *(f"share at {rate} a month" for rate in rates)], shares)
    return f"Share of {what} above the threshold that Gaussian noise exceeds so many times a month ({one['thresholds_from']}).\n\n{table}"
