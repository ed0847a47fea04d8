"""The strain that ships with the project is had without a network."""

from keras_gw_resnet import InputError, cli
from keras_gw_resnet.strain import fetch


def test_strain_that_ships_is_copied_without_a_network(tmp_path, monkeypatch, capsys, gw150914_files):
    def offline(*_, **options):
        raise InputError("no network")

    monkeypatch.setattr(fetch, "find_urls", offline)
    out = tmp_path / "new" / "strain"
    for said in ("copied, as it ships", "is there already"):
        assert cli.main(["fetch", "GW150914", "--output", str(out)]) == 0
        assert capsys.readouterr().out.count(said) == 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in gw150914_files}
    for other in (["--seconds", "4096"], ["--rate", "16384"], ["--detectors", "V1"], ["--host", fetch.GWOSC]):
        assert cli.main(["fetch", "GW150914", *other, "--output", str(tmp_path / "other")]) == 2
        assert "no network" in capsys.readouterr().err
    assert cli.main(["fetch", "GW150914", "--detectors", "L1", "--output", str(tmp_path / "one")]) == 0
    assert [p.name[:4] for p in (tmp_path / "one").iterdir()] == ["L-L1"]
