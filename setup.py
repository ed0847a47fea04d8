"""What pyproject.toml cannot say: the trained networks of `saved_models` ship inside the package."""

from setuptools import find_packages, setup

SAVED = "keras_gw_resnet.saved_models"
setup(packages=[*find_packages(include=["keras_gw_resnet*"]), SAVED], package_dir={SAVED: "saved_models"})
