"""The command 'evaluate' on a set with injections: how far networks see at which false-alarm rate."""

import csv
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np

from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search import journal_of, load_networks
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, written_aside

# Events below this logit of signal against noise are not kept for rates and distances.
LOWEST_STATISTIC = -10.0
SETS = Path("runs") / "sets"
PARTS = ("foreground", "background", "injections")
# What is found and missed is told at this rate, or at the lowest that the background shows.
TOLD_RATE = 100.0


def evaluate_set(args):
    """Search foreground and background with every network, and say how far each sees at which false-alarm rate."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.search.journal import forget
    from keras_gw_resnet.simulation.sets import read_injections
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_cards

    cards = load_cards((args.model, *args.compare), "--compare")
    names = [card["name"] for card in cards]
    output = args.output or Path("runs") / f"sensitivity-{names[0]}"
    check_output(output, args.overwrite, folder_of=_written(names))
    paths = _simulated(args, cards[0]) if args.set else {name: getattr(args, name) for name in PARTS}
    headers = {name: find_segments(paths[name], args.quality, args.channel) for name in PARTS[:2]}
    intervals = {name: intervals_of(own, cards[0]["detectors"]) for name, own in headers.items()}
    injections = _inside(read_injections(paths["injections"]), intervals["foreground"], paths)
    seen = []
    for card in cards:
        own = sorted({line for each in intervals.values() for line in seen_in_training(card, each)})
        report_leakage(card, own, args.strict)
        seen.append(own)
    networks, found, timed, journals = _search(args, paths, output)
    from keras_gw_resnet.evaluation.injected import injected_snr

    first = networks[0]
    snr = injected_snr(*headers.values(), first.detectors, first.whitening, injections["tc"])
    if snr is not None:
        injections["snr"] = snr
    data = {**{name: str(path) for name, path in paths.items()}, "injections": len(injections["tc"])}
    data["population"] = args.published or _population(paths["injections"])
    results, matched = [], []
    for network, own, foreground, background in zip(networks, seen, *found.values(), strict=True):
        one, match = _measure(network, foreground, background, injections)
        if timed:
            searched = sum(found[part][0].searched_seconds for part in timed)
            one["times_real_time"] = round(searched / sum(timed.values()))
        results.append({**one, "seen_in_training": own})
        matched.append(match)
    result = {"data": data, "networks": results}
    _write(result, matched, networks, found, output)
    for journal in journals:
        forget(journal)
    _print(result, networks, output)
    if args.card:
        _note(args, result)


def _note(args, result):
    """Write the figures into the cards."""
    from keras_gw_resnet.zoo import note_measurement

    data = result["data"]
    for name, one in zip((args.model, *args.compare), result["networks"], strict=True):
        rows = [{key: row[key] for key in ROW} for row in one["sensitivity"] if row["distance"] is not None]
        figures = {
            "data": Path(data["foreground"]).parent.name,
            "injections": data["injections"],
            "hours": {part: round(seconds / 3600, 3) for part, seconds in one["searched_seconds"].items()},
            "slides": one["slides"],
            "sensitivity": rows,
            "timing_error_seconds": one["timing_error_seconds"],
            "seen_in_training": one["seen_in_training"],
        }
        if "times_real_time" in one:
            figures |= {"times_real_time": one["times_real_time"], "on": f"{os.cpu_count()} processor cores"}
        note_measurement(name, "sets", data["population"] or figures["data"], figures)


def _written(names):
    fixed = [
        "sensitivity.json",
        "sensitivity.csv",
        "sensitivity.png",
        "found-fraction.png",
        "report.html",
        "tensorboard",
    ]
    own = [
        f"{name}-{what}"
        for name in names
        for what in ("injections.png", "foreground.hdf", "background.hdf", "slides.hdf")
    ]
    return (*fixed, *own)


def _simulated(args, card):
    """Return the files of a set, simulated unless that has been done before."""
    from keras_gw_resnet.simulation.populations import get_population
    from keras_gw_resnet.simulation.sets import FILES, psds_of, write_set

    detectors, rate = tuple(card["detectors"]), card["sample_rate"]
    spectra = psds_of(args.psd, detectors)
    # All that the set follows from, so that another one is never taken for it.
    stated = [get_population(args.set).to_dict(), args.duration, args.seed, rate, list(detectors)]
    stated += [[_content(source) for source in own] for own in spectra.values()]
    mark = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:8]
    folder = SETS / f"{Path(args.set).stem}-{args.duration}s-seed{args.seed}-{mark}"
    what = f"simulated Gaussian noise with injections of {args.set}"
    if all((folder / file).exists() for file in FILES):
        print(f"{shown(folder)}: {what}, simulated before", flush=True)
    else:
        with written_aside(folder) as aside:
            aside.mkdir()
            options = {"duration_seconds": args.duration, "seed": args.seed, "psds": args.psd}
            write_set(aside, args.set, detectors=detectors, sample_rate=rate, **options)
        print(f"{shown(folder)}: {what}", flush=True)
    return {part: folder / file for part, file in zip(PARTS, FILES, strict=True)}


def _content(source):
    """Return what tells a noise spectrum from others: its name, or of a file the hash of what is in it."""
    path = Path(source)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else str(source)


def _inside(injections, intervals, paths):
    """Return the injections that lie in the foreground."""
    from keras_gw_resnet.strain.quality import inside

    kept = inside(injections["tc"], [interval[:2] for interval in intervals])
    if not np.any(kept):
        low, high = injections["tc"].min(), injections["tc"].max()
        raise InputError(
            f"{paths['injections']}: none of its injections, GPS {low:.0f} to {high:.0f}, lies in {paths['foreground']}, "
            f"GPS {intervals[0][0]:.0f} to {intervals[-1][1]:.0f}; give the injections of this foreground"
        )
    if not np.all(kept):
        outside = np.count_nonzero(~kept)
        print(f"NOTE: {outside} of {len(kept)} injections lie outside the foreground and are left out", flush=True)
    return {name: values[kept] for name, values in injections.items()}


def _population(path):
    """Return the name of the challenge's set that the injections follow, where the file says so."""
    from keras_gw_resnet.hdf5 import attribute, open_hdf5, text
    from keras_gw_resnet.inputs import parse_json

    with open_hdf5(path) as file:
        stated = parse_json(text(attribute(file, "population", "{}"), 1 << 16), path, "a population")
    return stated.get("name") if isinstance(stated, dict) else None


def _search(args, paths, output):
    """Search; returns (networks, what they found by part, seconds that a part took where that is one's speed, journals)."""
    networks = load_networks((args.model, *args.compare), args.precision, args.exact)
    from keras_gw_resnet.search.search import search

    journals = {name: journal_of(output, f"{name}-") for name in PARTS[:2]}
    # What was searched before an interruption, together with others, or slid does not count as this network's speed.
    alone = len(networks) == 1 and not any(journal.exists() for journal in journals.values())
    found, timed = {}, {}
    for name, journal in journals.items():
        slides, started = (args.slides or 0) if name == "background" else 0, time.monotonic()
        found[name] = search(
            networks,
            [paths[name]],
            threshold=LOWEST_STATISTIC,
            quality=args.quality,
            channels=args.channel,
            snapshots=0,
            journal=journal,
            description=name,
            slides=slides,
        )
        if alone and not slides:
            timed[name] = time.monotonic() - started
    return networks, found, timed, journals.values()


def _measure(network, foreground, background, injections):
    """Return (dictionary of everything measured with one network, Matched)."""
    from keras_gw_resnet.evaluation.sensitivity import (
        FALSE_ALARMS_A_MONTH,
        MONTH_SECONDS,
        loudest_missed,
        match,
        sensitivity,
        threshold_at_rate,
        what_is_found,
    )

    matched = match(foreground.events, injections)
    slid = background.background
    quiet = background.searched_seconds + slid.seconds
    heard = np.concatenate([background.events.stat, slid.stat]), quiet
    # The lowest rate that this background can show has a row of its own.
    least = MONTH_SECONDS / quiet
    rows = sensitivity(matched, *heard, sorted({*FALSE_ALARMS_A_MONTH, least}, reverse=True))
    fine = sensitivity(matched, *heard, np.geomspace(least, max(3000.0, 10 * least), 60).tolist())
    told = max(TOLD_RATE, least)
    threshold = max(threshold_at_rate(*heard, told / MONTH_SECONDS), LOWEST_STATISTIC)
    lag = matched.lag[matched.stat > threshold]
    result = {
        "model": network.name,
        "sha256": network.card["sha256"],
        "precision": network.precision,
        "exact_scan": network.exact,
        "scan_difference": max(foreground.difference, background.difference),
        "searched_seconds": {"foreground": foreground.searched_seconds, "background": quiet},
        "slides": slid.slides,
        "sensitivity": rows,
        "curve": fine,
        "told_at": {"rate": told, "threshold": threshold},
        "timing_error_seconds": np.quantile(lag, [0.16, 0.5, 0.84]).tolist() if len(lag) else None,
        "found_by": what_is_found(matched, threshold),
        "loudest_missed": loudest_missed(matched, threshold),
    }
    return result, matched


ROW = ["rate", "threshold", "distance", "distance_error", "volume", "volume_error", "found_fraction", "found_error"]


def _write(result, matched, networks, found, output):
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_set_report
    from keras_gw_resnet.evaluation.set_plots import draw_found_fraction, draw_injections, draw_sensitivity
    from keras_gw_resnet.search.background import write_background
    from keras_gw_resnet.search.candidates import write_events_hdf5
    from keras_gw_resnet.training.tensorboard_file import write_pictures

    every = {one["model"]: one for one in result["networks"]}
    told = result["networks"][0]["told_at"]["rate"]
    title = f"{result['data']['injections']} injections, {_hours(result['networks'][0])}"
    figures = {
        "sensitivity": draw_sensitivity({n: o["curve"] for n, o in every.items()}, title, result["data"]["population"]),
        "found-fraction": draw_found_fraction(
            {name: one["found_by"] for name, one in every.items()}, f"{title}, at {told:.4g} false alarms a month"
        ),
    }
    for (name, one), match in zip(every.items(), matched, strict=True):
        about = f"{name} at {told:.4g} false alarms a month"
        figures[f"{name}-injections"] = draw_injections(match, one["told_at"]["threshold"], about)
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "sensitivity.json").write_text(json.dumps(result, indent=2) + "\n")
        with (aside / "sensitivity.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["model", *ROW])
            writer.writeheader()
            writer.writerows({"model": name, **row} for name, one in every.items() for row in one["sensitivity"])
        for name, figure in figures.items():
            save(figure, aside / f"{name}.png")
        for part, each in found.items():
            for network, own in zip(networks, each, strict=True):
                attributes = {
                    "model": network.name,
                    "model_sha256": network.card["sha256"],
                    "searched_seconds": own.searched_seconds,
                    "threshold": LOWEST_STATISTIC,
                    "precision": network.precision,
                }
                write_events_hdf5(own.events, aside / f"{network.name}-{part}.hdf", attributes)
                if own.background.slides:
                    more = {**attributes, "slides": own.background.slides}
                    write_background(own.background, aside / f"{network.name}-slides.hdf", network.detectors, more)
        tables = {name: _tables(one) for name, one in every.items()}
        write_set_report(aside / "report.html", title, tables, figures, result["data"])
        write_pictures(aside / "tensorboard", figures)


def _hours(one):
    hours = {name: seconds / 3600 for name, seconds in one["searched_seconds"].items()}
    slides = f" (it, and {one['slides']} time slides of it)" if one["slides"] else ""
    return f"{hours['foreground']:.2f} h of foreground, {hours['background']:.2f} h of background{slides}"


def _tables(one):
    """Return [(heading, header, rows)] of text about one network."""
    cells = []
    for row in one["sensitivity"]:
        if row["distance"] is None:
            cells.append([f"{row['rate']:.4g}", "background too short", "-", "-", "-"])
            continue
        pairs = [
            ("distance", "distance_error", ".0f"),
            ("volume", "volume_error", ".2f"),
            ("found_fraction", "found_error", ".3f"),
        ]
        values = [f"{row[value]:{form}} +- {row[error]:{form}}" for value, error, form in pairs]
        cells.append([f"{row['rate']:.4g}", *values, "-" if row["threshold"] is None else f"{row['threshold']:.2f}"])
    header = ["false alarms a month", "sensitive distance (Mpc)", "volume (Gpc^3)", "found", "threshold"]
    tables = [("Sensitive distance", header, cells)]
    if one["loudest_missed"]:
        names = list(one["loudest_missed"][0])
        titles = {
            "tc": "GPS time (s)",
            "mchirp": "chirp mass",
            "distance": "distance (Mpc)",
            "chirp_distance": "chirp distance (Mpc)",
            "snr": "SNR",
        }
        rows = [
            [f"{row[name]:.{2 if name in ('tc', 'mchirp', 'snr') else 0}f}" for name in names]
            for row in one["loudest_missed"]
        ]
        rate = one["told_at"]["rate"]
        tables.append((f"The loudest missed, at {rate:.4g} false alarms a month", [titles[n] for n in names], rows))
    return tables


def _print(result, networks, output):
    print(f"{result['data']['injections']} injections in {_hours(result['networks'][0])}")
    for network, one in zip(networks, result["networks"], strict=True):
        print(f"\n{one['model']}:" if len(result["networks"]) > 1 else f"searched with {one['model']}:")
        (_, header, cells), *_ = _tables(one)
        print(table(cells, header))
        if all(not row["found_fraction"] for row in one["sensitivity"]):
            print("no injection was found louder than the background: the sensitive distance is 0 Mpc")
        if one["timing_error_seconds"]:
            low, middle, high = one["timing_error_seconds"]
            print(f"event times of the found: {middle:+.3f} s (68 % from {low:+.3f} to {high:+.3f} s)")
        if remark := network.remark(one["scan_difference"]):
            print(f"NOTE: {remark}")
        if one["loudest_missed"] and "snr" in one["loudest_missed"][0]:
            worst = one["loudest_missed"][0]
            rate = one["told_at"]["rate"]
            print(
                f"loudest missed at {rate:.4g} a month: SNR {worst['snr']:.1f}, GPS {worst['tc']:.1f} (more in the report)"
            )
    print(f"saved: {shown(output)}/report.html, sensitivity.json, sensitivity.csv, pictures and events")
