"""Starts sfmlearner_tf/tools/viewer.py; --help explains it."""

from sfmlearner_tf.tools.viewer import cli

if __name__ == "__main__":
    cli()
