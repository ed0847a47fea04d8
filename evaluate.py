"""The command 'evaluate' of keras_gw_resnet; see python evaluate.py --help."""

import sys

from keras_gw_resnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
