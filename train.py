"""The command 'train' of keras_gw_resnet; see python train.py --help."""

import sys

from keras_gw_resnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
