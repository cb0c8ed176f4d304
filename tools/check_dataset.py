"""Starts sfmlearner_tf/tools/check_dataset.py; --help explains it."""

from sfmlearner_tf.tools.check_dataset import cli

if __name__ == "__main__":
    cli()
