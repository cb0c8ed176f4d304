"""Starts sfmlearner_tf/tools/test_kitti_depth.py; --help explains it."""

from sfmlearner_tf.tools.test_kitti_depth import cli

if __name__ == "__main__":
    cli()
