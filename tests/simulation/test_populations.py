import h5py
import numpy as np
import pytest
import scipy.stats

from keras_gw_resnet import InputError
from keras_gw_resnet.simulation.populations import POPULATIONS, draw, get_population

NUMBER = 4000


def sample(name, seed=0, number=NUMBER):
    return draw(get_population(name), number, np.random.default_rng(seed))


@pytest.mark.parametrize("name", POPULATIONS)
def test_ranges_and_distributions(name):
    population, drawn = get_population(name), sample(name)
    low, high = population.mass_range
    assert np.all(drawn["mass2"] <= drawn["mass1"])
    assert np.all((drawn["mass2"] >= low) & (drawn["mass1"] <= high))
    both = np.concatenate([drawn["mass1"], drawn["mass2"]])
    assert scipy.stats.kstest(both, scipy.stats.uniform(low, high - low).cdf).pvalue > 1e-3
    near, far = population.chirp_distance_range
    volume = (drawn["chirp_distance"] ** 3 - near**3) / (far**3 - near**3)
    for unit in (
        volume,
        (np.cos(drawn["inclination"]) + 1) / 2,
        (np.sin(drawn["dec"]) + 1) / 2,
        drawn["ra"] / (2 * np.pi),
        drawn["coa_phase"] / (2 * np.pi),
        drawn["polarization"] / (2 * np.pi),
    ):
        assert scipy.stats.kstest(unit, "uniform").pvalue > 1e-3


def test_spins():
    none, aligned, isotropic = (sample(f"set{i}") for i in (1, 2, 3))
    assert not any(none[f"spin{b}{a}"].any() for b in "12" for a in "xyz")
    assert not aligned["spin1x"].any()
    assert scipy.stats.kstest(aligned["spin2z"], scipy.stats.uniform(-0.99, 1.98).cdf).pvalue > 1e-3
    magnitude = np.sqrt(sum(isotropic[f"spin1{a}"] ** 2 for a in "xyz"))
    assert scipy.stats.kstest(magnitude, scipy.stats.uniform(0, 0.99).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(isotropic["spin1z"] / magnitude, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_distance_and_chirp_mass_as_the_challenge_defines_them(mlgwsc1_folder):
    from keras_gw_resnet.simulation.populations import chirp_mass

    with h5py.File(mlgwsc1_folder / "set3-injections.hdf") as file:
        theirs = {name: values[()] for name, values in file.items()}
    np.testing.assert_allclose(chirp_mass(theirs["mass1"], theirs["mass2"]), theirs["mchirp"])
    scale = (theirs["mchirp"] / (1.4 / 2**0.2)) ** (5 / 6)
    np.testing.assert_allclose(theirs["chirp_distance"] * scale, theirs["distance"])
    ours = sample("set3")
    np.testing.assert_allclose(ours["chirp_distance"] * (ours["mchirp"] / (1.4 / 2**0.2)) ** (5 / 6), ours["distance"])
    for name in ("mass1", "mass2", "mchirp", "chirp_distance", "distance", "spin1z", "q"):
        assert scipy.stats.ks_2samp(ours[name], theirs[name]).pvalue > 1e-3, name


def test_same_seed_same_binaries():
    one, two, other = sample("set3", 1, 10), sample("set3", 1, 10), sample("set3", 2, 10)
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert not np.array_equal(one["mass1"], other["mass1"])


def test_a_population_of_ones_own(tmp_path):
    path = tmp_path / "heavy.yaml"
    path.write_text("base: set3\nname: heavy\nmass_range: [30, 90]\nspin_max: 0.5\nmodes: [[2, 2], [3, 3]]\n")
    heavy = get_population(str(path))
    assert (heavy.name, heavy.mass_range, heavy.spins, heavy.modes) == (
        "heavy",
        (30, 90),
        "isotropic",
        ((2, 2), (3, 3)),
    )
    for text, message in (
        ("base: set9", "unknown population 'set9'"),
        ("base: set3\nmass_rnge: [1, 2]", "unknown field mass_rnge"),
        ("base: set3\nmass_range: [9, 2]", "expected two rising positive numbers"),
        ("base: set3\nmass_range: [5]", r"mass_range has \[5\]; expected two numbers"),
        ("base: set3\nmodes: 22", "modes is 22; expected a list"),
        ("base: set3\nspins: wild", "expected one of none, aligned, isotropic"),
        ("spins: none", "does not describe a population"),
        ("- 1", "does not describe a population"),
        ("a: [", "does not describe a population"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message) as error:
            get_population(str(path))
        assert "heavy.yaml" in str(error.value) or "set9" in text
    with pytest.raises(InputError, match="no such file"):
        get_population(str(tmp_path / "none.yaml"))


def test_unknown_population_is_refused():
    with pytest.raises(InputError, match="expected one of set1, set2, set3"):
        get_population("set9")
