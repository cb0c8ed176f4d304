"""Starts sfmlearner_tf/tools/fetch_checkpoint.py; --help explains it."""

from sfmlearner_tf.tools.fetch_checkpoint import cli

if __name__ == "__main__":
    cli()
