"""`python -m keras_gw_resnet`."""

from keras_gw_resnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
