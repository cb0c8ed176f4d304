"""Starts sfmlearner_tf/tools/prepare_train_data.py; --help explains it."""

from sfmlearner_tf.tools.prepare_train_data import cli

if __name__ == "__main__":
    cli()
