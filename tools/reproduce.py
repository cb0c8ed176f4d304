"""Starts sfmlearner_tf/tools/reproduce.py; --help explains it."""

from sfmlearner_tf.tools.reproduce import cli

if __name__ == "__main__":
    cli()
