"""Starts sfmlearner_tf/tools/make_synthetic_kitti.py; --help explains it."""

from sfmlearner_tf.tools.make_synthetic_kitti import cli

if __name__ == "__main__":
    cli()
