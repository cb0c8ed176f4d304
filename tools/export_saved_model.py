"""Starts sfmlearner_tf/tools/export_saved_model.py; --help explains it."""

from sfmlearner_tf.tools.export_saved_model import cli

if __name__ == "__main__":
    cli()
