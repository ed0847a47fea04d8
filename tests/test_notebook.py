import json

from tests.conftest import ROOT, run_command

NOTEBOOK = ROOT / "docs" / "gw150914.ipynb"


def test_the_notebook_finds_gw150914(gw150914_files, tmp_path):
    """Its code, cell after cell, in a fresh process."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert len(cells) <= 10
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    cache = tmp_path / "keras_gw_resnet" / "gwosc"
    cache.mkdir(parents=True)
    for path in gw150914_files:
        (cache / path.name).symlink_to(path)
    script = tmp_path / "code" / "notebook.py"
    script.parent.mkdir()
    script.write_text("\n".join([*code, "print('LOUDEST', loudest.time[0], loudest.stat[0], loudest.stat[1])"]))
    result = run_command(script, env={"XDG_CACHE_HOME": str(tmp_path), "MPLBACKEND": "agg"})
    assert result.returncode == 0, result.stderr
    time, first, second = map(float, result.stdout.splitlines()[-1].split()[1:])
    assert abs(time - 1126259462.42) < 0.1
    assert first > second + 5
    scan, alone = (float(word) for word in result.stdout.split("scan ")[1].split()[::3][:2])
    assert abs(scan - alone) < 1e-3
