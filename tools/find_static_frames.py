"""Starts sfmlearner_tf/tools/find_static_frames.py; --help explains it."""

from sfmlearner_tf.tools.find_static_frames import cli

if __name__ == "__main__":
    cli()
