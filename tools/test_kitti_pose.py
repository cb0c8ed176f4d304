"""Starts sfmlearner_tf/tools/test_kitti_pose.py; --help explains it."""

from sfmlearner_tf.tools.test_kitti_pose import cli

if __name__ == "__main__":
    cli()
