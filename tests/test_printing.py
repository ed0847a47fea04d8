from keras_gw_resnet.commands.printing import table


def test_a_pipe_that_closes_ends_quietly():
    import subprocess
    import sys

    command = f"{sys.executable} -m keras_gw_resnet models 'resnet1*' --width 4 | true"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (141, "")


def test_table_is_aligned():
    text = table([["a", "1.5", "0.1 +- 0.2"], ["longer", "-12.25", "10.1 +- 0.2"]], ["name", "value", "error"])
    assert text.splitlines() == [
        "name     value        error",
        "a          1.5   0.1 +- 0.2",
        "longer  -12.25  10.1 +- 0.2",
    ]
