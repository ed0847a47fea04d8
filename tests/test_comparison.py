import json
import shutil

import pytest

from keras_gw_resnet import zoo_training
from keras_gw_resnet.demo import run_step
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.weights import ALIASES
from keras_gw_resnet.zoo import load_card, note_measurement
from keras_gw_resnet.zoo_comparison import BEGIN, BEST, END, END_OF_BEST, _best, _exceptions, _trained_alike
from tests.conftest import assert_refused, run_command, run_commands

PACKAGE = ("-m", "keras_gw_resnet")


def rows_at(*points):
    return [
        {"rate": rate, "distance": distance, "distance_error": 50.0, "found_fraction": 0.1} for rate, distance in points
    ]


def test_the_flagship_is_among_the_best_even_where_others_see_farther():
    far = {"sets": {"set1": {"sensitivity": rows_at((1000.0, 3000.0))}}}
    cards = [{"name": name, "metrics": far if name == "far" else {}} for name in (ALIASES["flagship"], "near", "far")]
    assert [card["name"] for card in _best(cards, ALIASES.values())] == [ALIASES["flagship"], "far"]


def test_the_comparison_is_made_of_the_cards(small_run, tmp_path):
    home = tmp_path / "saved"
    for name in ("one", "two", "three"):
        shutil.copytree(small_run, home / name)
        card = json.loads((home / name / "card.json").read_text())
        (home / name / "card.json").write_text(json.dumps({**card, "name": name}))
    note_measurement(home / "one", "sets", "set1", {"sensitivity": rows_at((1000.0, 2500.4), (100.0, 2300.0))})
    note_measurement(home / "one", "sets", "set3", {"sensitivity": rows_at((1000.0, 1700.0), (120.0, 1500.6))})
    measured = {"sensitivity": rows_at((1000.0, 1400.0))}
    note_measurement(home / "three", "sets", "set3 in measured noise", measured)
    note_measurement(home / "two", "sets", "set1", {"sensitivity": rows_at((4000.0, 2600.0))})
    note_measurement(home / "two", "glitches", "bank", {"shares": [{"group": "all", "glitches": 30, "100": 0.456}]})
    note_measurement(home / "three", "glitches", "bank", {"shares": [{"group": "all", "glitches": 30, "1000": 0.5}]})
    note_measurement(home / "one", "masses", "snr 8 to 10", {"found": [{"chirp_mass": [5, 12], "100": 0.613}]})
    assert set(load_card(home / "one")["metrics"]["sets"]) == {"set1", "set3"}
    page, short, plot = tmp_path / "page.md", tmp_path / "short.md", tmp_path / "plot.png"
    short.write_text(f"{BEST}\n{END_OF_BEST}\nafter\n")
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    env = {"KERAS_GW_RESNET_SAVED_MODELS": str(home)}
    given = (*PACKAGE, "models", "--report", page, short, "--plot", plot)
    for _ in range(2):
        result = run_command(*given, env=env)
        assert result.returncode == 0, result.stderr
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n| name |")
    assert text.endswith(f"|\n{END}\n\nafter\n")
    lines = {line.split("`")[1]: line for line in text.splitlines() if "`" in line and "|" in line}
    assert set(lines) == {"one", "two", "three"}
    assert "| 2500 ± 50 | 2300 ± 50 | 1700 ± 50 | 1501 ± 50 (at 120) | - | - | 0.61 |" in lines["one"]
    assert "| 2600 ± 50 (at 4000) | 2600 ± 50 (at 4000) | - | - | - | 0.46 of 30 | - |" in lines["two"]
    assert lines["three"].endswith("| - | 1400 ± 50 | - | - |")
    best = short.read_text()
    assert best.endswith(f"{END_OF_BEST}\nafter\n") and lines["one"] in best  # at a higher rate "two" does not count
    assert "`two`" not in best and lines["three"] in best
    assert plot.stat().st_size > 10_000
    other = json.loads((home / "three" / "card.json").read_text())
    other["training"]["config"]["optimisation"]["batch_size"] *= 2
    (home / "three" / "card.json").write_text(json.dumps(other))
    result = run_command(*given, env=env)
    assert result.returncode == 0, result.stderr
    alike, others = page.read_text().split("Others, each by its own recipe.")
    seed, examples = other["training"]["config"]["seed"], other["training"]["examples"]
    assert f"the same data, seed ({seed}), schedule and {examples:,} examples." in alike
    assert "`one`" in alike and "`two`" in alike and "`three`" not in alike
    assert "`three`" in others and "`one`" not in others
    page.write_text("no marks")
    short.write_text(f"{BEST}\nold\n{END_OF_BEST}\n")
    assert_refused(run_command(*given, env=env), "page.md", "expected the line")
    assert "old" in short.read_text()
    assert_refused(run_command(*PACKAGE, "models", "--report", tmp_path / "none.md"), "none.md", "cannot be read")


def test_a_network_without_places_is_trained_like_those_that_learn_them():
    def card(name, **changes):
        examples, begun = changes.pop("examples", 100), changes.pop("begun_with", None)
        config = {"model": name, "options": {}, "seed": 1, "merger_tolerance": 0.02, **changes}
        return {"name": name, "training": {"config": config, "examples": examples, "begun_with": begun}}

    without = card("without", merger_tolerance=0.0)
    one, two, coarser = card("one"), card("two", options={"width": 8}), card("coarser", merger_tolerance=0.03)
    others = card("longer", examples=200), card("seed", seed=2, merger_tolerance=0.0), card("on", begun_with="one")
    assert _trained_alike([one, without, coarser, two, *others, {"name": "given"}]) == [one, two, without]
    assert _trained_alike([coarser, without, *others]) == [coarser, without]
    also = card("also", merger_tolerance=0.0)
    assert _trained_alike([without, also, *others]) == [without, also]
    # A card that was written before there were such templates.
    assert _trained_alike([one, card("newer", statistic_templates=0)]) == [one, card("newer", statistic_templates=0)]
    assert _trained_alike([one, coarser]) == []
    # What is ranked was added to a network afterwards, by a training of one step.
    step = {"epochs": 1, "steps_per_epoch": 1, "merger_tolerance": 0.0}
    ranked = card("ranked", **step, seed=3, examples=1, begun_with={"two": two["training"]})
    assert _trained_alike([one, ranked, coarser, card("step", **step)]) == [one, ranked]


def test_how_a_network_is_taught_is_said_where_it_differs():
    def card(name, **changes):
        config = {"seed": 1, "merger_tolerance": 0.02, "learning_rate": 0.008, "snr_start": None, **changes}
        return {"name": name, "training": {"config": config, "examples": 100}}

    cards = [card("one"), card("slow", learning_rate=0.004, snr_start=[10.0, 25.0]), card("two")]
    assert _trained_alike(cards) == cards
    assert list(_exceptions(cards)) == [
        "`slow` has `learning_rate` 0.004 in place of 0.008, `snr_start` [10.0, 25.0] in place of none."
    ]


def test_the_zoo_is_trained_from_recipes_alone(tmp_path):
    zoo = ("--folder", tmp_path / "zoo")
    given = [("train-zoo", "resnet99", *zoo), ("train-zoo", "resnet18-w16", "--seed", 5, "--install", *zoo)]
    unknown, kept = run_commands(given)
    assert_refused(unknown, "resnet99", "no recipe of that name", "resnet18-w16")
    assert_refused(kept, "--seed", "--install")
    assert not (tmp_path / "zoo").exists()


def test_a_step_that_ends_without_what_it_makes_is_the_last(tmp_path, capfd):
    made, ran = tmp_path / "made", ("-c", "print('ran')")
    for command, how in ((ran, "ended from outside"), (("-c", "raise SystemExit(3)"), "exit code 3")):
        with pytest.raises(InputError, match=f"stopped at step 'training' .{how}"):
            run_step("training", made, *command)
    run_step("training", made, "-c", f"open({str(made)!r}, 'w')")
    capfd.readouterr()
    run_step("training", made, *ran)
    assert "is there already: reused" in capfd.readouterr().out
    run_step("search", None, *ran)
    assert "ran\n" in capfd.readouterr().out


def test_networks_that_need_others_come_after_them(tmp_path, monkeypatch):
    """Of a network trained again the new weights are joined, of any other the saved ones."""
    home, folder = tmp_path / "saved", tmp_path / "zoo"
    monkeypatch.setattr(zoo_training, "RECIPES", tmp_path / "recipes")
    for name, recipe in (
        ("a-joined", "options: {members: [b, c]}"),
        ("b", "model: resnet16"),
        ("c", "options: {weights: d}"),
        ("d", "options: {}"),
        ("b-taught", "hard_noise: runs/zoo/hard-z-finder.hdf"),
    ):
        (home / name).mkdir(parents=True)
        (home / name / "recipe.yaml").write_text(recipe)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "z-finder.yaml").write_text("model: resnet18")
    zoo = zoo_training.Zoo(folder, home=home)

    def to_train(asked, seed=None):
        return [(training.name, training.seed) for training in zoo.plan(asked, seed)]

    order = list(zoo.recipes)
    assert sorted(order) == sorted([*(path.name for path in home.iterdir()), "z-finder"])
    assert order.index("z-finder") < order.index("b-taught")
    assert order.index("d") < order.index("c") < order.index("a-joined") > order.index("b")
    for place, name in ((home, "b"), (home, "c"), (folder, "b")):
        (place / name).mkdir(parents=True, exist_ok=True)
        for file in ("model.keras", "card.json"):
            (place / name / file).write_text(f"{place.name} {name}")
    joined = zoo.gather(["b", "c"])
    assert [(joined / name / "model.keras").read_text() for name in "bc"] == ["zoo b", "saved c"]
    assert zoo.gather([]) is None
    assert to_train(["c", "b-taught"]) == [(name, None) for name in order if name not in ("a-joined", "b")]
    assert to_train(["a-joined"]) == [("a-joined", None)]
    # Nothing that is asked for: all that are saved.
    assert {name for name, _ in to_train([])} == {"b", "c", "d"}
    # With another seed what is asked for is no finder for others.
    asked = to_train(["z-finder", "b-taught"], 5)
    assert asked[0] == ("z-finder", None)
    assert sorted(asked[1:]) == [("b-taught", 5), ("z-finder", 5)]
    (folder / "hard-z-finder.hdf").touch()
    assert to_train(["b-taught"]) == [("b-taught", None)]
    with pytest.raises(InputError, match=r"z-finder: neither trained .* nor saved, and without a recipe"):
        zoo.gather(["z-finder"])


def test_every_saved_network_can_be_trained_again(tmp_path):
    """From the recipes that ship: what finds hard noise comes first, and is said to."""
    from keras_gw_resnet.models.weights import list_saved

    zoo = zoo_training.Zoo(tmp_path)
    finders = [path.stem for path in zoo_training.RECIPES.glob("*.yaml")]
    plan = [training.name for training in zoo.plan()]
    assert sorted(plan) == sorted([*list_saved(), *finders])
    assert [training.name for training in zoo.plan(["resnet18-w16-hlv"])] == ["resnet18-w16-hlv"]
    assert zoo_training.detectors_of(zoo.recipes["resnet18-w16-hlv"]) == ("H1", "L1", "V1")
    for name in plan:
        needed = [*zoo_training.finders_of(zoo.recipes[name]), *zoo_training.begun_with(zoo.recipes[name])]
        assert all(plan.index(other) < plan.index(name) for other in needed), name
    given = (*PACKAGE, "train-zoo", "resnet18-w16", "--folder", tmp_path / "zoo", "--dry-run")
    told = run_command(*given).stdout.splitlines()
    assert told[0].startswith("5 networks to train, in this order")
    order = ["resnet18-w16-dilated", "resnet18-w16-templates", "resnet18-w16-coincidence"]
    assert [line.split(":")[0].strip() for line in told[1:]] == [*order, "resnet18-w16-base", "resnet18-w16"]
    assert told[3].endswith("resnet18-w16-coincidence: finds the hard noise for resnet18-w16-base")
    assert not (tmp_path / "zoo").exists()


def test_recipes_of_the_zoo_are_configurations_and_no_users_recipes(tmp_path):
    from keras_gw_resnet.commands.train_arguments import list_recipes, parse_training

    for path in zoo_training.RECIPES.glob("*.yaml"):
        assert path.stem not in list_recipes()
        config, _ = parse_training(["--config", str(path), "--data", str(tmp_path), "--out", "-"])
        assert config.metric.keep == "last"
