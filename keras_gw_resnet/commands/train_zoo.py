"""The command 'train-zoo': every saved network again, from its recipe and seeds."""

import shutil
from graphlib import TopologicalSorter
from pathlib import Path

from keras_gw_resnet.commands.arguments import add_command, path_of, seed
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.demo import ROOT, run_step
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.training.names import fields_of

RECIPE, FILES = "recipe.yaml", ("model.keras", "card.json")
# Seeds of training and of test data have nothing in common; the test sets are looked at once a network.
NOISE_SEED, BANK_SEED, TEST_NOISE_SEED, TEST_BANK_SEED = 101, 102, 201, 202
TEST_SETS, VALIDATION_SETS = (("set1", 901), ("set3", 903)), (("set1", 801), ("set3", 803))
# Slides of the background that the flagship is measured on: ten times eight hours, since nine, the edges cut, are less than the three days
# that 10 false alarms a month take.
FLAGSHIP_SLIDES = 9
# A recipe with hard_noise: .../hard-NAME.hdf shows what the network of that name finds hard in so many windows.
HARD, HARD_WINDOWS = "hard-", 800000
ANALYTIC = ("aLIGOZeroDetHighPower", "aLIGOMidHighSensitivityP1200087")
SIMULATE = ("-m", "keras_gw_resnet", "simulate")


def add_train_zoo(subparsers):
    """Add the command 'train-zoo'."""
    parser = add_command(
        subparsers,
        "train-zoo",
        run_train_zoo,
        "train and measure the networks of saved_models again, from their recipes",
        "keras-gw-resnet train-zoo resnet18-w16 --psd o3a-spectra --folder runs/zoo",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="saved networks (default: all)")
    add("--folder", type=path_of, default=Path("runs/zoo"), metavar="DIR", help="default: runs/zoo")
    add(
        "--psd",
        nargs="+",
        default=[],
        metavar="NAME|FILE|DIR",
        help="noise spectra of the training and of set3, as the challenge's; default: two analytic ones",
    )
    add("--test-duration", default="8h", metavar="TIME", help="of each test set (default: 8h)")
    add(
        "--seed",
        type=seed,
        metavar="N",
        help="in place of that of the recipe, to see the spread: into NAME-seedN in --folder",
    )
    add("--install", action="store_true", help="replace the networks in saved_models by the new ones")


def run_train_zoo(args):
    """Train and measure networks of saved_models again, one after the other; what is done already is kept."""
    from keras_gw_resnet.models.weights import ALIASES, list_saved, saved_models_folder
    from keras_gw_resnet.zoo import note_selection

    home = saved_models_folder()
    known = _recipes(home)
    unknown = [name for name in args.names if name not in known]
    if unknown:
        raise InputError(f"{unknown[0]}: no recipe of that name in {home}; there are: {', '.join(known) or 'none'}")
    if args.install and args.seed is not None:
        raise InputError("--seed is for a second training beside that of the recipe; it is not for --install")
    args.folder = args.folder.resolve()
    args.psd = [str(Path(source).resolve()) if Path(source).exists() else source for source in args.psd]
    data, test = args.folder / "data", args.folder / "test"
    spectra = ("--psd", *(args.psd or ANALYTIC))
    for folder, noise, bank, segments, waveforms in (
        (data, NOISE_SEED, BANK_SEED, 40, 5000),
        (test, TEST_NOISE_SEED, TEST_BANK_SEED, 10, 500),
    ):
        options = ("--segments", segments, "--segment-seconds", 256, "--seed", noise, *spectra)
        made = folder / "noise.hdf"
        run_step("noise", made, *SIMULATE, "noise", *options, "--output", made)
        made = folder / "bank.hdf"
        options = ("--population", "set3", "--number", waveforms, "--seed", bank)
        run_step("waveforms", made, *SIMULATE, "bank", *options, "--output", made)
    asked = set(args.names) or known.keys() & set(list_saved()) or set(known)
    for name, other_seed in _to_train(asked, args.seed, known, args.folder, home):
        folder = args.folder / (name if other_seed is None else f"{name}-seed{other_seed}")
        train = ("train", "--config", home / name / RECIPE, "--data", _seen(data), "--out", folder)
        train = (*train, "--name", folder.name, *(() if other_seed is None else ("--seed", other_seed)))
        for finder in _finders(known[name]):
            hard = _hard_noise(finder, args.folder)
            network = finder if hard.exists() else _newest(finder, args.folder, home)
            search = ("hard-noise", network, "--data", _seen(data))
            options = ("--windows", HARD_WINDOWS, "--output", hard)
            run_step("hard noise", hard, "-m", "keras_gw_resnet", *search, *options)
            train = (*train, "--negatives.hard_noise", _seen(hard))
        joined = _gathered(_begun(known[name]), args.folder, home)
        env = {"KERAS_GW_RESNET_SAVED_MODELS": str(joined)} if joined else None
        run_step(f"train {folder.name}", folder / "card.json", "-m", "keras_gw_resnet", *train, env=env)
        evaluate = ("-m", "keras_gw_resnet", "evaluate", folder, "--card", "--output")
        run_step("windows", folder / "windows", *evaluate, folder / "windows", "--data", test)
        for population, number in TEST_SETS:
            out = folder / population
            options = ("--set", population, "--duration", args.test_duration, "--seed", number)
            if name == ALIASES["flagship"]:
                options = (*options, "--slides", FLAGSHIP_SLIDES)
            psd = ("--psd", *args.psd) if args.psd and population != "set1" else ()
            run_step(population, out, *evaluate, out, *options, *psd)
        note_selection(folder, _selection())
        if args.install and name in asked:
            for file in FILES:
                shutil.copy(folder / file, home / name / file)
            print(f"installed: {shown(home / name)}", flush=True)
    if args.install and list_saved():
        print("next: keras-gw-resnet models --report README.md --plot docs/comparison.png")


def _selection():
    """Say on which data the networks were chosen, for their cards."""
    chosen, measured = (
        " and ".join(f"{population} of seed {seed}" for population, seed in sets)
        for sets in (VALIDATION_SETS, TEST_SETS)
    )
    return (
        f"recipe chosen on windows held out from the training's data, or on {chosen}; "
        f"{measured} measured once for this network, after its training"
    )


def _seen(path):
    """Return a path as the steps see it, from the project's folder: it is written into the card."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _recipes(home):
    """Return {name: recipe} of the networks that have one, those first that others need."""
    import yaml

    recipes = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(home.glob(f"*/{RECIPE}"))}
    needed = {name: sorted(_begun(recipe) + _finders(recipe)) for name, recipe in recipes.items()}
    order = TopologicalSorter(needed)
    return {name: recipes[name] for name in order.static_order() if name in recipes}


def _to_train(asked, seed, known, folder, home):
    """List (name, seed) of the networks to train, those first that others need; no seed: that of the recipe.

    They are those asked for, and what they need that is neither trained nor saved, as some have a recipe alone. What finds hard noise is
    not needed where that noise was found.
    """
    wanted = set(asked) if seed is None else set()
    for name in reversed(known):
        if name in wanted | asked:
            finders = [finder for finder in _finders(known[name]) if not _hard_noise(finder, folder).exists()]
            needed = set(_begun(known[name]) + finders)
            wanted |= {other for other in needed & known.keys() if not _found(other, folder, home)}
    own = [(name, None) for name in known if name in wanted]
    return own + [(name, seed) for name in known if name in asked and seed is not None]


def _hard_noise(finder, folder):
    """Return the file of what a network finds hard."""
    return folder / f"{HARD}{finder}.hdf"


def _finders(recipe):
    """List the network that finds the hard noise of a recipe; none where it shows none.

    Raises:
        InputError: The name of the file does not say.
    """
    found = dict(fields_of(recipe)).get("negatives.hard_noise")
    if not found:
        return []
    stem = Path(found).stem
    if not stem.startswith(HARD):
        raise InputError(f"hard_noise: {found}: expected a recipe to name it {HARD}NAME.hdf, after who finds it")
    return [stem.removeprefix(HARD)]


def _begun(recipe):
    """List the networks that the network of a recipe joins or begins with."""
    from keras_gw_resnet.zoo import networks_in

    return networks_in(dict(fields_of(recipe)).get("network.options", {}))


def _newest(name, folder, home):
    """Return the folder of a network as trained here, or else as saved.

    Raises:
        InputError: It is neither, nor is there a recipe to train it from.
    """
    found = _found(name, folder, home)
    if not found:
        raise InputError(f"{name}: neither trained into {folder} nor saved, and without a recipe in {home}")
    return found


def _found(name, folder, home):
    return next((place for place in (folder / name, home / name) if (place / "card.json").exists()), None)


def _gathered(needed, folder, home):
    """Copy the networks that another one needs, as trained here or else as saved, into one folder; return it."""
    gathered = folder / "needed"
    for name in needed:
        source = _newest(name, folder, home)
        (gathered / name).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copy(source / file, gathered / name / file)
    return gathered if needed else None
