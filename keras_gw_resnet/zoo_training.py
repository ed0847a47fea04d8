"""The saved networks trained again from their recipes and seeds, one after the other, and measured.

The recipe of a saved network lies beside its card. Networks that find hard noise for others, and others that are not saved, have a
recipe in `training/recipes/zoo`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from keras_gw_resnet.archives import NETWORK_FILES
from keras_gw_resnet.demo import ROOT, run_step
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.weights import ALIASES, saved_models_folder
from keras_gw_resnet.training.names import fields_of
from keras_gw_resnet.zoo import networks_in, note_selection

RECIPES = Path(__file__).parent / "training" / "recipes" / "zoo"
# Seeds of training and of test data have nothing in common; the test sets are looked at once a network.
NOISE_SEED, BANK_SEED, TEST_NOISE_SEED, TEST_BANK_SEED = 101, 102, 201, 202
TEST_SETS, VALIDATION_SETS = (("set1", 901), ("set3", 903)), (("set1", 801), ("set3", 803))
# Slides of the background that the flagship is measured on: ten times eight hours, since nine, the edges cut, are less than the three days
# that 10 false alarms a month take.
FLAGSHIP_SLIDES = 9
# A recipe with hard_noise: .../hard-NAME.hdf shows what the network of that name finds hard in so many windows.
HARD, HARD_WINDOWS = "hard-", 800000
ANALYTIC = ("aLIGOZeroDetHighPower", "aLIGOMidHighSensitivityP1200087")
USUAL = ("H1", "L1")
# Of further detectors, where no spectra are given for them: beside those of O3, and beside those of set1, which are design ones.
FURTHER = ("V1=AdVO3LowT1800545", "K1=KAGRA25MpcT1800545")
DESIGN = ("aLIGOZeroDetHighPower", "V1=AdVDesignSensitivityP1200087", "K1=KAGRADesignSensitivityT1600593")
PACKAGE = ("-m", "keras_gw_resnet")


@dataclass(frozen=True)
class Training:
    """A network to train.

    Attributes:
        name: Of its recipe.
        seed: In place of the recipe's; None: that.
        asked: Whether it was asked for; others need it where it was not.
        reason: Why it is trained.
    """

    name: str
    seed: int | None
    asked: bool
    reason: str

    @property
    def title(self) -> str:
        """Name of the network that comes out."""
        return self.name if self.seed is None else f"{self.name}-seed{self.seed}"


class Zoo:
    """Trainings of saved networks in one folder; what is in it already is kept.

    Args:
        folder: Where data and networks go.
        home: Folder of the saved networks; None: `saved_models_folder()`.
        psds: Noise spectra of the training and of set3; (): analytic ones.
        test_duration: Of each test set, for example "8h".

    Attributes:
        recipes: Dictionary name -> recipe, those first that others need.
    """

    def __init__(
        self, folder: Path | str, *, home: Path | str | None = None, psds: Sequence[str] = (), test_duration: str = "8h"
    ) -> None:
        self.folder, self.home = Path(folder).resolve(), Path(home or saved_models_folder())
        self.psds = [str(Path(source).resolve()) if Path(source).exists() else source for source in psds]
        self.test_duration = test_duration
        self.data, self.test = self.folder / "data", self.folder / "test"
        self._files = {path.stem: path for path in RECIPES.glob("*.yaml")}
        self._files |= {path.parent.name: path for path in self.home.glob("*/recipe.yaml")}
        self.recipes = read_recipes(self._files)

    def plan(self, names: Sequence[str] = (), seed: int | None = None) -> list[Training]:
        """List the Trainings of networks and of what they need that is neither trained nor saved, that first.

        What finds hard noise is not needed where that noise was found.

        Args:
            names: Networks; (): all that are saved, or all that have a recipe where none is.
            seed: In place of that of the recipes; None: theirs.

        Raises:
            InputError: A network without a recipe.
        """
        unknown = [name for name in names if name not in self.recipes]
        if unknown:
            known = ", ".join(self.recipes) or "none"
            raise InputError(f"{unknown[0]}: no recipe of that name in {self.home}; there are: {known}")
        asked = set(names) or {path.parent.name for path in self.home.glob("*/card.json")} & self.recipes.keys()
        asked = asked or set(self.recipes)
        reasons = {name: ["asked for"] for name in asked} if seed is None else {}
        for name in reversed(self.recipes):
            if name not in reasons.keys() | asked:
                continue
            finders = [one for one in finders_of(self.recipes[name]) if not self._hard_noise(one).exists()]
            needed = [(one, f"finds the hard noise for {name}") for one in finders]
            needed += [(one, f"is what {name} begins with or joins") for one in begun_with(self.recipes[name])]
            for other, reason in needed:
                if other in self.recipes and not self._found(other):
                    reasons.setdefault(other, []).append(reason)
        told = {name: why[0] + (f" and {len(why) - 1} more" if why[1:] else "") for name, why in reasons.items()}
        own = [Training(n, None, n in asked and seed is None, told[n]) for n in self.recipes if n in told]
        return own + [Training(n, seed, True, "asked for") for n in self.recipes if n in asked and seed is not None]

    def is_trained(self, training: Training) -> bool:
        """Say whether a Training is done already."""
        return (self.folder / training.title / "card.json").exists()

    def make_data(self, detectors: tuple = USUAL) -> None:
        """Simulate noise and waveforms to train and to test with, for some detectors."""
        spectra = ("--psd", *self._spectra(detectors, self.psds or ANALYTIC))
        for folder, noise, bank, segments, waveforms in (
            (_of_detectors(self.data, detectors), NOISE_SEED, BANK_SEED, 40, 5000),
            (_of_detectors(self.test, detectors), TEST_NOISE_SEED, TEST_BANK_SEED, 10, 500),
        ):
            made = folder / "noise.hdf"
            options = ("--segments", segments, "--segment-seconds", 256, "--seed", noise, *spectra)
            options = (*options, *(() if detectors == USUAL else ("--detectors", *detectors)))
            run_step("noise", made, *PACKAGE, "simulate", "noise", *options, "--output", made)
            made = folder / "bank.hdf"
            options = ("--population", "set3", "--number", waveforms, "--seed", bank)
            run_step("waveforms", made, *PACKAGE, "simulate", "bank", *options, "--output", made)

    def train(self, training: Training) -> None:
        """Train a network, after finding the hard noise that its recipe shows."""
        name, folder, recipe = training.name, self.folder / training.title, self.recipes[training.name]
        detectors = detectors_of(recipe)
        self.make_data(detectors)
        data = _seen(_of_detectors(self.data, detectors))
        train = ("train", "--config", self._files[name], "--data", data, "--out", folder)
        train = (*train, "--name", folder.name, *(() if training.seed is None else ("--seed", training.seed)))
        for finder in finders_of(recipe):
            train = (*train, "--negatives.hard_noise", _seen(self._find_hard_noise(finder)))
        joined = self.gather(begun_with(recipe))
        env = {"KERAS_GW_RESNET_SAVED_MODELS": str(joined)} if joined else None
        run_step(f"train {folder.name}", folder / "card.json", *PACKAGE, *train, env=env)

    def measure(self, training: Training) -> None:
        """Measure a trained network on windows and on the test sets, into its card."""
        folder = self.folder / training.title
        evaluate = (*PACKAGE, "evaluate", folder, "--card", "--output")
        detectors = detectors_of(self.recipes[training.name])
        test = _of_detectors(self.test, detectors)
        run_step("windows", folder / "windows", *evaluate, folder / "windows", "--data", test)
        for population, number in TEST_SETS:
            out = folder / population
            options = ("--set", population, "--duration", self.test_duration, "--seed", number)
            if training.name == ALIASES["flagship"]:
                options = (*options, "--slides", FLAGSHIP_SLIDES)
            psds = self.psds if population != "set1" else ()
            if detectors != USUAL:
                psds = self._spectra(detectors, psds or DESIGN)
            run_step(population, out, *evaluate, out, *options, *(("--psd", *psds) if psds else ()))
        note_selection(folder, selection())

    def _spectra(self, detectors, psds):
        """Return noise spectra, with one for each further detector that is given none of its own."""
        named = {source.partition("=")[0] for source in psds}
        more = {source.partition("=")[0]: source for source in FURTHER}
        return (*psds, *(more[name] for name in detectors if name in more and name not in named))

    def install(self, training: Training) -> Path:
        """Put a trained network in place of the saved one; return its folder."""
        home = self.home / training.name
        home.mkdir(exist_ok=True)
        for file in NETWORK_FILES:
            shutil.copy(self.folder / training.title / file, home / file)
        return home

    def gather(self, names: Sequence[str]) -> Path | None:
        """Copy the networks that another one needs, as trained here or else as saved, into one folder; return it.

        None where none is needed.
        """
        gathered = self.folder / "needed"
        for name in names:
            source = self._newest(name)
            (gathered / name).mkdir(parents=True, exist_ok=True)
            for file in NETWORK_FILES:
                shutil.copy(source / file, gathered / name / file)
        return gathered if names else None

    def _find_hard_noise(self, finder):
        hard = self._hard_noise(finder)
        network = finder if hard.exists() else self._newest(finder)
        options = ("--data", _seen(self.data), "--windows", HARD_WINDOWS, "--output", hard)
        run_step("hard noise", hard, *PACKAGE, "hard-noise", network, *options)
        return hard

    def _hard_noise(self, finder):
        return self.folder / f"{HARD}{finder}.hdf"

    def _newest(self, name):
        """Return the folder of a network as trained here, or else as saved.

        Raises:
            InputError: It is neither, nor is there a recipe to train it from.
        """
        found = self._found(name)
        if not found:
            raise InputError(
                f"{name}: neither trained into {self.folder} nor saved, and without a recipe in {self.home}"
            )
        return found

    def _found(self, name):
        places = (self.folder / name, self.home / name)
        return next((place for place in places if (place / "card.json").exists()), None)


def read_recipes(files: dict[str, Path]) -> dict[str, dict]:
    """Read recipes: dictionary name -> file to dictionary name -> recipe, those first that others need."""
    import yaml

    recipes = {name: yaml.safe_load(files[name].read_text()) for name in sorted(files)}
    needed = {name: sorted(begun_with(recipe) + finders_of(recipe)) for name, recipe in recipes.items()}
    return {name: recipes[name] for name in TopologicalSorter(needed).static_order() if name in recipes}


def detectors_of(recipe: dict) -> tuple[str, ...]:
    """Return the detectors of a recipe."""
    return tuple(dict(fields_of(recipe)).get("data.detectors") or USUAL)


def _of_detectors(folder, detectors):
    """Return the folder beside this one that holds the same for other detectors than usual."""
    return folder if detectors == USUAL else folder.with_name("-".join([folder.name, *detectors]))


def finders_of(recipe: dict) -> list[str]:
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


def begun_with(recipe: dict) -> list[str]:
    """List the networks that the network of a recipe joins or begins with."""
    return networks_in(dict(fields_of(recipe)).get("network.options", {}))


def selection() -> str:
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
