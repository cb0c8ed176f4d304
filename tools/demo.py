"""Starts sfmlearner_tf/tools/demo.py; --help explains it."""

from sfmlearner_tf.tools.demo import cli

if __name__ == "__main__":
    cli()
