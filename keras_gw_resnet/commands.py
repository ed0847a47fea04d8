"""What the command line runs: every function takes parsed arguments, does one job and prints what came of it."""

import contextlib
import csv
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input, written_aside

# Events below this logit of signal against noise are not kept for rates and distances.
LOWEST_STATISTIC = -10.0


@contextlib.contextmanager
def _quiet_stderr():
    """Keep what native libraries print while they load off stderr; show it when loading fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except InputError:
            raise
        except BaseException:
            os.dup2(kept, 2)
            sink.seek(0)
            sys.stderr.write(sink.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def load_keras(prepare=None, *, training=False):
    """Import Keras and its backend without the backend's start-up messages on stderr.

    Args:
        prepare: Called before the backend starts its devices.
        training: Whether gradients will be computed.

    Returns:
        What `prepare` returned.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not training:
        # On processors where TensorFlow leaves oneDNN off, it doubles the rate of matrix products all the same. Not in
        # training: the gradient of a strided 1x1 convolution of four channels corrupts memory there (2.21, AVX2).
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with _quiet_stderr():
            import keras

            prepared = prepare() if prepare else None
            keras.ops.zeros(1)  # starts the devices
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(f"KERAS_BACKEND={backend}: {error.name or error} cannot be imported; install it") from error
    return prepared


def _shown(path):
    """Return a path as short as it can be typed here."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def _is_number(text):
    return text == "-" or all(part.strip().lstrip("-").replace(".", "", 1).isdigit() for part in text.split("+-"))


def table(rows, header):
    """Return rows of text as aligned columns, columns of numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    columns = []
    for title, *cells in zip(header, *rows, strict=True):
        width = max(len(text) for text in (title, *cells))
        align = str.rjust if cells and all(_is_number(cell) for cell in cells) else str.ljust
        columns.append([align(text, width) for text in (title, *cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _writable_folder(path, option):
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another {option}") from error


def run_simulate_bank(args):
    """Simulate a waveform bank."""
    from keras_gw_resnet.simulation.bank import save_bank
    from keras_gw_resnet.simulation.populations import get_population
    from keras_gw_resnet.simulation.waveforms import make_bank

    check_output(args.output, args.overwrite)
    get_population(args.population)
    bank = make_bank(
        args.population,
        args.number,
        seed=args.seed,
        duration_seconds=args.duration,
        detectors=args.detectors,
        processes=args.processes,
    )
    save_bank(bank, args.output)
    print(f"{_shown(args.output)}: {len(bank)} waveforms of {args.population}, fingerprint {bank.fingerprint()}")


def run_simulate_noise(args):
    """Simulate coloured Gaussian noise."""
    from keras_gw_resnet.simulation.noise import write_noise
    from keras_gw_resnet.simulation.sets import psds_of

    check_output(args.output, args.overwrite)
    write_noise(
        args.output,
        psds=psds_of(args.psd, args.detectors),
        segments=args.segments,
        segment_seconds=args.segment_seconds,
        seed=args.seed,
        detectors=args.detectors,
    )
    total = args.segments * args.segment_seconds
    print(
        f"{_shown(args.output)}: {total} s of simulated Gaussian noise of {', '.join(args.detectors)} in {args.segments} segments"
    )


def run_simulate_set(args):
    """Simulate a test set: foreground, background and injections."""
    from keras_gw_resnet.simulation.populations import get_population
    from keras_gw_resnet.simulation.sets import FILES, write_set

    check_output(args.output, args.overwrite, folder_of=FILES)
    with written_aside(args.output) as aside:
        aside.mkdir()
        injections = write_set(
            aside,
            args.population,
            duration_seconds=args.duration,
            seed=args.seed,
            psds=args.psd,
            detectors=args.detectors,
            processes=args.processes,
        )
    print(
        f"{_shown(args.output)}: {args.duration} s of simulated Gaussian noise of {', '.join(args.detectors)} "
        f"with and without {injections} injections of {args.population}: {', '.join(FILES)}"
    )
    if not args.psd:
        psd = get_population(args.population).psd
        print(f"noise spectrum: {psd}, analytic; --psd DIR takes measured ones, such as the challenge's")


def _model_options(args):
    options = {
        "width": args.width,
        "kernel_size": tuple(args.kernel_size) if args.kernel_size and len(args.kernel_size) > 1 else None,
        "stem_kernel_size": args.stem_kernel_size,
        "dropout": args.dropout,
    }
    if args.kernel_size and len(args.kernel_size) == 1:
        options["kernel_size"] = args.kernel_size[0]
    for assignment in args.option:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError(f"--option {assignment}: expected NAME=VALUE, for example blocks=8")
        try:
            options[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            options[name.replace("-", "_")] = value
    if args.input_statistics:
        try:
            measured = json.loads(args.input_statistics.read_text())
            options.update(mean=measured["mean"], variance=measured["variance"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{args.input_statistics}: cannot be read as statistics; make it with 'keras-gw-resnet statistics'"
            ) from error
    return {name: list(v) if isinstance(v, tuple) else v for name, v in options.items() if v is not None}


def run_train(args):
    """Train a network, measure it on what was held out, and save it with its card."""
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import load_batches

    detectors, window_samples, rate = _shape_of_data(args)
    config = TrainingConfig(
        model=args.model,
        options=_model_options(args),
        data=str(args.data),
        noise=args.noise,
        psds=tuple(args.psd),
        detectors=detectors,
        window_samples=window_samples,
        whitening=Whitening(sample_rate=rate),
        epochs=args.epochs,
        steps_per_epoch=args.steps_per_epoch,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        snr_range=tuple(args.snr),
        snr_power=args.snr_power,
        snr_start=tuple(args.snr_start) if args.snr_start else None,
        curriculum_epochs=args.curriculum_epochs,
        glitch_share=args.glitch_share,
        inconsistent_share=args.inconsistent_share,
        loud_share=args.loud_share,
        merger_range=tuple(args.merger),
        lone_signal_share=args.lone_signal_share,
        validation_share=args.validation_share,
        quality=tuple(args.quality),
        devices=args.devices,
    )
    existed = args.out.exists()
    _check_run_folder(config, args)
    devices = _prepare_training(config)
    batches = load_batches(config)
    log_dir = args.log_dir or args.out / "logs"
    try:
        _train(config, batches, args, devices, log_dir)
    except InputError:
        if not existed and not any((args.out / "checkpoints").glob("*")):
            shutil.rmtree(args.out, ignore_errors=True)
        raise


def _shape_of_data(args):
    """Return detectors, samples of a window and sample rate: as asked for, or those of a file of labelled windows."""
    from keras_gw_resnet.datasets.windows import open_windows

    if not args.data.is_file():
        return tuple(args.detectors or ("H1", "L1")), args.window_samples or 2048, 2048
    header = open_windows(args.data)
    return tuple(args.detectors or header.detectors), args.window_samples or header.samples, header.sample_rate


def _check_run_folder(config, args):
    from keras_gw_resnet.training.folder import check_folder

    check_folder(config, args.out, args.overwrite)
    if args.log_dir and args.log_dir.is_file():
        raise InputError(f"{args.log_dir}: is a file; --log-dir takes a folder")


def _prepare_training(config):
    """Start the devices, and see that the network can be built and searched with, before any data are read."""
    from keras_gw_resnet.training.distribution import prepare_devices

    devices = load_keras(lambda: prepare_devices(config.devices), training=True)
    from keras_gw_resnet.models.registry import build_model
    from keras_gw_resnet.search.scan import Scanner

    Scanner(build_model(config.model, input_shape=(config.window_samples, len(config.detectors)), **config.options))
    return devices


def _train(config, batches, args, devices, log_dir):
    from keras_gw_resnet.search.calibration import UNKNOWN_TIMING, calibrate_timing
    from keras_gw_resnet.training.fit import fit
    from keras_gw_resnet.zoo import save_model

    _writable_folder(args.out, "--out")
    _writable_folder(log_dir, "--log-dir")
    if config.loud_share and batches.held_out_bank and not batches.training.settings.loud_share:
        print("NOTE: the noise has no loud places; --loud-share has nothing to show", flush=True)
    print(
        f"{config.model} on {batches.description}: {config.epochs} epochs of {config.steps_per_epoch} batches of "
        f"{config.batch_size}",
        flush=True,
    )
    model, history, seconds = fit(
        config,
        batches,
        args.out,
        devices=devices,
        log_dir=log_dir,
        overwrite=args.overwrite,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    last = history[-1]
    if batches.held_out_bank is None:
        timing, precision = dict(UNKNOWN_TIMING), "event times are not calibrated"
    else:
        taps = batches.training.noise.taps
        timing = calibrate_timing(model, batches.held_out_bank, taps, config.detectors, config.whitening)
        precision = f"event times good to {timing['spread_seconds']:.3f} s (68 %)"
    card = {
        "name": args.name or args.out.name,
        "model": config.model,
        "options": config.options,
        "sample_rate": config.whitening.sample_rate,
        "detectors": list(config.detectors),
        "window_samples": config.window_samples,
        "whitening": config.whitening.to_dict(),
        "training": {"config": config.to_dict(), "data": batches.provenance, "seconds_in_last_call": round(seconds)},
        "metrics": {"validation": {name[4:]: value for name, value in last.items() if name.startswith("val_")}},
        "timing": timing,
    }
    save_model(model, card, args.out)
    with written_aside(args.out / "history.csv") as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(last))
        writer.writeheader()
        writer.writerows(history)
    shutil.rmtree(args.out / "checkpoints", ignore_errors=True)
    print(
        f"validation AUC {last['val_auc']:.4f} on what was held out; {precision}\n"
        f"saved: {_shown(args.out)}/model.keras, card.json, history.csv\n"
        f"next:  tensorboard --logdir {_shown(log_dir)}"
    )
    if batches.held_out_bank is not None:
        print(
            f"       keras-gw-resnet evaluate {_shown(args.out)} --data FOLDER\n"
            f"       keras-gw-resnet search {_shown(args.out)} FILE... --output events.hdf"
        )


def run_evaluate(args):
    """Measure a saved network on windows, or on a set with injections."""
    given = [args.foreground, args.background, args.injections]
    if not any(given) and args.data:
        _evaluate_windows(args)
    elif all(given) and not args.data:
        _evaluate_set(args)
    else:
        raise InputError("give --data, or --foreground, --background and --injections together")


def _evaluate_set(args):
    """Search foreground and background, and say how far the network sees at which false-alarm rate."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.evaluation.sensitivity import FALSE_ALARMS_A_MONTH, MONTH_SECONDS, match, sensitivity
    from keras_gw_resnet.simulation.sets import read_injections
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_card

    card = load_card(args.model)
    output = args.output or Path("runs") / f"sensitivity-{card['name']}"
    check_output(output, args.overwrite, folder_of=("sensitivity.json", "sensitivity.png"))
    injections = read_injections(args.injections)
    seen = []
    for path in (args.foreground, args.background):
        seen += seen_in_training(card, intervals_of(find_segments(path, args.quality), card["detectors"]))
    report_leakage(card, sorted(set(seen)), args.strict)
    load_keras()
    from keras_gw_resnet.evaluation.plots import plot_sensitivity
    from keras_gw_resnet.search.search import search
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    found, searched = {}, {}
    for name, path in (("foreground", args.foreground), ("background", args.background)):
        result = search(model, card, [path], threshold=LOWEST_STATISTIC, quality=args.quality)
        found[name], searched[name] = result.events, result.searched_seconds
    matched = match(found["foreground"], injections)
    background = found["background"].stat, searched["background"]
    # The lowest rate that this background can show has a row of its own.
    least = MONTH_SECONDS / searched["background"]
    rows = sensitivity(matched, *background, sorted({*FALSE_ALARMS_A_MONTH, least}, reverse=True))
    fine = sensitivity(matched, *background, np.geomspace(least, max(3000.0, 10 * least), 60).tolist())
    lowest = next(row["threshold"] for row in rows if row["distance"] is not None)
    lag = matched.lag[matched.stat > (LOWEST_STATISTIC if lowest is None else lowest)]
    result = {
        "model": card["name"],
        "sha256": card["sha256"],
        "data": {
            **{name: str(getattr(args, name)) for name in ("foreground", "background", "injections")},
            "searched_seconds": searched,
            "injections": len(matched.stat),
            "seen_in_training": seen,
        },
        "sensitivity": rows,
        "curve": fine,
        "timing_error_seconds": np.quantile(lag, [0.16, 0.5, 0.84]).tolist() if len(lag) else None,
    }
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "sensitivity.json").write_text(json.dumps(result, indent=2) + "\n")
        title = f"{card['name']}: {len(matched.stat)} injections, background {searched['background'] / 3600:.1f} h"
        plot_sensitivity(fine, aside / "sensitivity.png", title)
    _print_sensitivity(result, output)


def _print_sensitivity(result, output):
    hours = {name: seconds / 3600 for name, seconds in result["data"]["searched_seconds"].items()}
    print(
        f"{result['data']['injections']} injections in {hours['foreground']:.2f} h of foreground, "
        f"{hours['background']:.2f} h of background, searched with {result['model']}"
    )
    cells = []
    for row in result["sensitivity"]:
        if row["distance"] is None:
            cells.append([f"{row['rate']:.4g}", "background too short", "-", "-", "-"])
            continue
        pairs = [
            ("distance", "distance_error", ".0f"),
            ("volume", "volume_error", ".2f"),
            ("found_fraction", "found_error", ".3f"),
        ]
        shown = [f"{row[value]:{form}} +- {row[error]:{form}}" for value, error, form in pairs]
        cells.append([f"{row['rate']:.4g}", *shown, "-" if row["threshold"] is None else f"{row['threshold']:.2f}"])
    header = ["false alarms a month", "sensitive distance (Mpc)", "volume (Gpc^3)", "found", "threshold"]
    print(table(cells, header))
    if result["timing_error_seconds"]:
        low, middle, high = result["timing_error_seconds"]
        print(f"event times of the found: {middle:+.3f} s (68 % from {low:+.3f} to {high:+.3f} s)")
    print(f"saved: {_shown(output)}/sensitivity.json, sensitivity.png")


def _evaluate_windows(args):
    """Score held-out windows with a saved network."""
    from keras_gw_resnet.datasets.batches import InjectionBatches, InjectionSettings
    from keras_gw_resnet.datasets.noise import FileNoise
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.training.config import LARGEST_SNR
    from keras_gw_resnet.training.data import find_bank, read_noise
    from keras_gw_resnet.zoo import load_card

    card = load_card(args.model)
    output = args.output or Path("runs") / f"evaluation-{card['name']}"
    check_output(output, args.overwrite, folder_of=("evaluation.json", "efficiency.png"))
    if not 0 < args.snr[0] < args.snr[1] <= LARGEST_SNR:
        raise InputError(
            f"--snr is {args.snr[0]:g} {args.snr[1]:g}; expected two rising numbers above 0 and up to {LARGEST_SNR:g}"
        )
    if args.windows < 2000:
        raise InputError(
            f"--windows is {args.windows}; expected at least 2000, fewer cannot show a false-alarm probability"
        )
    bank = find_bank(args.data)
    whitening, window = Whitening(**card["whitening"]), card["window_samples"]
    stretches, coverage = read_noise(args.data, tuple(card["detectors"]), whitening, window, args.quality)
    merger = tuple(card.get("training", {}).get("config", {}).get("merger_range", (0.65, 0.85)))
    settings = InjectionSettings(snr_range=tuple(args.snr), merger_range=merger, lone_signal_share=0.0)
    noise = FileNoise(stretches, window)
    seen = seen_in_training(card, noise.intervals, bank.fingerprint())
    report_leakage(card, seen, args.strict)
    batches = InjectionBatches(bank, noise, batch_size=500, seed=args.seed, settings=settings)
    load_keras()
    from tqdm import tqdm

    from keras_gw_resnet.backend import jit_compile
    from keras_gw_resnet.evaluation.plots import plot_efficiency
    from keras_gw_resnet.evaluation.windows import evaluate_scores
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    model.compile(jit_compile=jit_compile())
    scored = []
    with tqdm(total=args.windows, desc="evaluate", unit="window", disable=None, dynamic_ncols=True) as bar:
        for index in range(-(-args.windows // 500)):
            examples = batches.examples(index)
            score = model.predict_on_batch(examples.strain)[:, 0]
            scored.append((score, examples.label[:, 0], examples.snr))
            bar.update(500)
    score, label, snr = (np.concatenate(column) for column in zip(*scored, strict=True))
    edges = np.linspace(args.snr[0], args.snr[1], 13)
    result = {
        "model": card["name"],
        "sha256": card["sha256"],
        "data": {
            "folder": str(args.data),
            "bank": bank.fingerprint(),
            "noise_seconds": coverage.whitened,
            "seed": args.seed,
            "seen_in_training": seen,
        },
        **evaluate_scores(score, label, snr, edges),
    }
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
        title = f"{card['name']}: simulated signals in held-out noise, AUC {result['auc']:.4f}"
        plot_efficiency(result, aside / "efficiency.png", title)
    _print_evaluation(result, output)


def _print_evaluation(result, output):
    low, high = result["snr_range"]
    print(
        f"AUC {result['auc']:.4f}: {result['signal_windows']} windows with a simulated signal of network SNR "
        f"{low:g}-{high:g}, {result['noise_windows']} without"
    )
    edges, curves = result["snr_edges"], result["efficiency"]
    rows = []
    for i in range(len(edges) - 1):
        cells = [f"{edges[i]:.1f}-{edges[i + 1]:.1f}"]
        for curve in curves.values():
            fraction, error = curve["fraction"][i], curve["error"][i]
            cells.append("-" if fraction is None else f"{fraction:.3f} +- {error:.3f}")
        rows.append(cells)
    print(table(rows, ["SNR", *(f"detected at FAP {p}" for p in curves)]))
    print(f"saved: {_shown(output)}/evaluation.json, efficiency.png")


def run_search(args):
    """Search strain for events with a saved network."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_card

    outputs = [args.output, args.output.with_suffix(".csv"), *([args.plot] if args.plot else [])]
    for path in outputs:
        check_output(path, args.overwrite)
    card = load_card(args.model)
    headers = find_segments(args.strain, args.quality)
    refuse_input(outputs, {h.path for h in headers})
    seen = seen_in_training(card, intervals_of(headers, card["detectors"]))
    report_leakage(card, seen, args.strict)
    load_keras()
    from keras_gw_resnet.evaluation.plots import plot_event
    from keras_gw_resnet.search.events import write_events
    from keras_gw_resnet.search.search import search
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    result = search(model, card, args.strain, threshold=args.threshold, quality=args.quality)
    events, coverage = result.events, result.coverage
    attributes = {
        "model": card["name"],
        "model_sha256": card["sha256"],
        "detectors": list(card["detectors"]),
        "files": [Path(p).name for p in args.strain],
        "threshold": args.threshold,
        "searched_seconds": result.searched_seconds,
        "invalid_seconds": coverage.invalid,
        "stride_seconds": result.stride_seconds,
        "exact_scan": result.exact,
        "quality": list(args.quality),
        "seen_in_training": seen,
    }
    beside = write_events(events, args.output, attributes)
    print(
        f"searched {result.searched_seconds:.1f} s of {'+'.join(card['detectors'])} strain with {card['name']} "
        f"(given {coverage.given:.1f} s; invalid and skipped {coverage.invalid:.1f} s; "
        f"too short and skipped {coverage.short:.1f} s; the rest are edges of the whitening filter)"
    )
    if not len(events):
        print(
            f"no event with a statistic above {args.threshold:g}; {args.output} and {beside} are written without events"
            f"{f', {args.plot} is not drawn' if args.plot else ''}"
        )
        return
    loudest = events.loudest(args.top)
    rows = [
        [rank + 1, f"{loudest.time[rank]:.3f}", f"{loudest.stat[rank]:.2f}", f"{loudest.var[rank]:.3f}"]
        for rank in range(len(loudest))
    ]
    print(f"{len(events)} events with a statistic above {args.threshold:g}; the loudest:")
    print(table(rows, ["rank", "GPS time (s)", "statistic", "timing +- (s)"]))
    if args.plot:
        title = f"{', '.join(attributes['files'])}\nloudest event, statistic {loudest.stat[0]:.1f} ({card['name']})"
        plot_event(result.snapshot, loudest.time[0], args.plot, title)
    print(f"saved: {', '.join(str(_shown(path)) for path in outputs)}")


def run_models(args):
    """List the networks of the zoo with their size and reach and the saved ones, or draw one."""
    import fnmatch

    load_keras()
    from tqdm import tqdm

    from keras_gw_resnet.models.registry import build_model, list_models, model_info
    from keras_gw_resnet.models.weights import list_saved
    from keras_gw_resnet.zoo import load_card

    options = {} if args.width is None else {"width": args.width}
    if args.plot:
        from keras_gw_resnet.evaluation.drawing import draw_network

        check_output(args.plot, args.overwrite)
        model = build_model(args.pattern, **options)
        draw_network(model, args.plot)
        print(f"saved: {_shown(args.plot)}")
        return
    names = list_models(args.pattern)
    if not names:
        build_model(args.pattern)
    saved = [load_card(name) for name in list_saved()]
    rows = []
    for name in tqdm(names, desc="networks", unit="network", disable=None, leave=False, dynamic_ncols=True):
        info = model_info(name, **options)
        reach = "-" if info.receptive_samples is None else f"{info.receptive_samples}"
        milliseconds = "-" if info.receptive_milliseconds is None else f"{info.receptive_milliseconds:.0f}"
        weights = ", ".join(card["name"] for card in saved if card["model"] == name) or "-"
        row = [name, info.depth, info.parameters, reach, milliseconds, info.stride or "-"]
        rows.append([*row, f"{info.multiply_adds / 1e6:.0f}", weights])
    header = ["network", "depth", "parameters", "reach (samples)", "reach (ms)", "stride", "Mmul-add/s", "saved"]
    print(table(rows, header))
    rows = [
        [c["name"], c["parameters"], f"{c['window_samples'] / c['sample_rate']:g}", "+".join(c["detectors"])]
        for c in saved
        if fnmatch.fnmatch(c["model"], args.pattern)
    ]
    if rows:
        print()
        print(table(rows, ["saved network", "parameters", "window (s)", "detectors"]))


def run_statistics(args):
    """Measure mean and variance of the whitened strain in files, for networks that normalise their input."""
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import whitened_stretches

    check_output(args.output, args.overwrite)
    headers = find_segments(args.strain, args.quality)
    refuse_input([args.output], {h.path for h in headers})
    count, total, squares = 0, np.zeros(len(args.detectors)), np.zeros(len(args.detectors))
    for stretch in whitened_stretches(headers, tuple(args.detectors), Whitening()):
        strain = stretch.strain.astype(np.float64)
        count, total, squares = count + len(strain), total + strain.sum(axis=0), squares + (strain**2).sum(axis=0)
    if not count:
        raise InputError(f"{', '.join(args.strain)}: no valid stretch of strain long enough to whiten")
    mean = total / count
    result = {
        "detectors": list(args.detectors),
        "seconds": count / Whitening().sample_rate,
        "mean": mean.tolist(),
        "variance": (squares / count - mean**2).tolist(),
    }
    with written_aside(args.output) as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
    rows = [[d, f"{m:.6f}", f"{v:.4f}"] for d, m, v in zip(args.detectors, mean, result["variance"], strict=True)]
    print(table(rows, ["detector", "mean", "variance"]))
    print(f"saved: {_shown(args.output)}, from {result['seconds']:.1f} s of whitened strain")


def run_fetch(args):
    """Fetch open strain data into the cache."""
    from keras_gw_resnet.strain.fetch import cache_folder, download, find_urls

    if (args.event is None) == (args.run_name is None):
        raise InputError("name an event, or --run with --start and --duration; one of the two")
    if args.run_name and (args.start is None or args.duration is None):
        raise InputError("--run needs --start (GPS seconds) and --duration (seconds)")
    folder = args.output or cache_folder()
    check_output(folder / "strain.hdf5")
    urls = find_urls(
        args.detectors,
        event=args.event,
        seconds=args.seconds,
        run=args.run_name,
        start=args.start,
        duration=args.duration,
        sample_rate=args.rate,
        host=args.host.rstrip("/"),
    )
    paths = []
    for url in urls:
        path, fetched = download(url, folder)
        print(f"{_shown(path)}: {'fetched' if fetched else 'is there already'}", flush=True)
        paths.append(str(_shown(path)))
    print(f"next:  keras-gw-resnet search resnet18-w16 {' '.join(paths)} --output events.hdf")


def run_import_g2net(args):
    """Convert the G2Net layout into one file of labelled windows."""
    from keras_gw_resnet.datasets.windows import import_g2net

    check_output(args.output, args.overwrite)
    windows, signals = import_g2net(args.folder, args.output)
    print(f"{_shown(args.output)}: {windows} windows, {signals} of them with a signal")
    print(f"next:  keras-gw-resnet train --model resnet18 --data {_shown(args.output)} --out runs/g2net")


def run_inspect(args):
    """Show what strain files hold, or what training examples look like."""
    if args.plot:
        check_output(args.plot, args.overwrite)
    if args.examples:
        _inspect_examples(args)
    else:
        _inspect_strain(args)
    if args.plot:
        print(f"saved: {_shown(args.plot)}")


def _inspect_strain(args):
    from tqdm import tqdm

    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.inspection import inspect_detector

    headers = find_segments(args.strain, args.quality)
    rows = [
        [
            h.detector,
            f"{h.gps_start:.3f}".rstrip("0").rstrip("."),
            f"{h.samples / h.sample_rate:g}",
            f"{h.sample_rate:g}",
            "-" if h.present is None else f"{sum(h.present)}/{len(h.present)}",
            h.origin,
            Path(h.path).name,
        ]
        for h in headers
    ]
    print(table(rows, ["detector", "GPS start", "seconds", "rate (Hz)", "seconds with flags", "origin", "file"]))
    detectors = sorted({h.detector for h in headers})
    bar = tqdm(detectors, desc="whitening", unit="detector", disable=None, leave=False, dynamic_ncols=True)
    reports = [inspect_detector(headers, detector) for detector in bar]
    marks = (30, 100, 300, 1000)
    rows = []
    for r in reports:
        asd = [f"{r.asd[np.argmin(np.abs(r.frequency - mark))]:.2e}" for mark in marks]
        valid = f"{r.valid:.1f} ({100 * r.valid / r.given:.0f} %)"
        rows.append([r.detector, f"{r.given:.1f}", valid, *asd, f"{r.deviation:.3f}", f"{r.glitches_per_minute:.2f}"])
    header = ["detector", "given (s)", "valid (s)", *(f"ASD {mark} Hz" for mark in marks)]
    print()
    print(table(rows, [*header, "whitened deviation", "glitches a minute"]))
    if args.plot:
        from keras_gw_resnet.evaluation.plots import plot_strain

        plot_strain(reports, args.plot, ", ".join(sorted({Path(h.path).name for h in headers})[:4]))


def _inspect_examples(args):
    from keras_gw_resnet.datasets.batches import KINDS
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import load_batches

    if not args.plot or len(args.strain) != 1:
        raise InputError("--examples takes one folder with strain and a waveform bank, and --plot FILE")
    shares = {"lone_signal_share": 0.2, "glitch_share": 0.2, "inconsistent_share": 0.2, "loud_share": 0.2}
    config = TrainingConfig(
        model="resnet18",
        data=args.strain[0],
        quality=tuple(args.quality),
        batch_size=args.examples + args.examples % 2,
        **shares,
    )
    batches = load_batches(config).training
    found, bank = batches.examples(0), batches.signals.bank
    titles = []
    for kind, snr, waveform in zip(found.kind, found.snr, found.waveform, strict=True):
        mass1, mass2 = bank.parameters["mass1"][waveform], bank.parameters["mass2"][waveform]
        signal = f"label 1: signal of SNR {snr:.1f}\n{mass1:.0f} + {mass2:.0f} solar masses"
        titles.append(f"label 0:\n{KINDS[kind]}" if kind else signal)
    from keras_gw_resnet.evaluation.plots import plot_examples

    rate, title = (
        config.whitening.sample_rate,
        f"training examples from {args.strain[0]}: simulated signals in its noise",
    )
    plot_examples(found.strain[: args.examples], titles, config.detectors, rate, args.plot, title)


def run_export(args):
    """Export a saved network to another format, read it back and compare."""
    from keras_gw_resnet.zoo import load_card, load_model

    check_output(args.output, args.overwrite, folder_of=("saved_model", "model.onnx", "card.json"))
    load_card(args.model)
    load_keras()
    from keras_gw_resnet.export import export_model

    model, card = load_model(args.model)
    path, difference = export_model(model, card, args.format, args.output)
    print(f"largest difference of scores on random strain between network and export: {difference:.1e}")
    print(f"saved: {_shown(path)}, card.json")


def run_demo(args):
    """Run the whole job on small simulated data and on GW150914."""
    from keras_gw_resnet.demo import demo

    demo(args.folder, seed=args.seed)
