"""Starts sfmlearner_tf/tools/predict.py; --help explains it."""

from sfmlearner_tf.tools.predict import cli

if __name__ == "__main__":
    cli()
