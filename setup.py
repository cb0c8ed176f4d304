"""Installs sfmlearner_tf, its commands and the KITTI evaluation, on the stack that suits this Python."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
REQUIREMENTS = [
    line for line in (HERE / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")
]
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "sfmlearner_tf" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)
# Each becomes a console script, such as sfmlearner-eval-depth.
COMMANDS = [
    "sfmlearner_tf.train",
    "sfmlearner_tf.tools.check_dataset",
    "sfmlearner_tf.tools.completion",
    "sfmlearner_tf.tools.demo",
    "sfmlearner_tf.tools.export_saved_model",
    "sfmlearner_tf.tools.fetch_checkpoint",
    "sfmlearner_tf.tools.find_static_frames",
    "sfmlearner_tf.tools.make_synthetic_kitti",
    "sfmlearner_tf.tools.predict",
    "sfmlearner_tf.tools.prepare_train_data",
    "sfmlearner_tf.tools.reproduce",
    "sfmlearner_tf.tools.test_kitti_depth",
    "sfmlearner_tf.tools.test_kitti_pose",
    "sfmlearner_tf.tools.viewer",
    "kitti_eval.eval_depth",
    "kitti_eval.eval_mean_odometry",
    "kitti_eval.eval_odometry",
    "kitti_eval.eval_pose",
    "kitti_eval.make_pose_ground_truth",
]

setup(
    name="sfmlearner_tf",
    version=VERSION,
    description="SfMLearner in TensorFlow 2: unsupervised learning of depth and ego-motion from video",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9",
    packages=["kitti_eval", *(f"sfmlearner_tf{part}" for part in ("", ".data", ".losses", ".networks", ".tools"))],
    package_data={"sfmlearner_tf": ["py.typed"], "sfmlearner_tf.data": ["*.csv"], "kitti_eval": ["*.csv"]},
    install_requires=REQUIREMENTS,
    extras_require={
        "gpu": [
            'tensorflow[and-cuda]==2.15.1; python_version < "3.12" and sys_platform == "linux"',
            'tensorflow[and-cuda]==2.21.*; python_version >= "3.12" and sys_platform == "linux"',
        ],
        "video": ["imageio-ffmpeg>=0.4.9"],
        "static": ["scikit-image>=0.19"],
        # TensorFlow itself brings TFLite's converter and interpreter.
        "tflite": [],
        "onnx": [
            'tf2onnx>=1.17; python_version >= "3.10"',
            'onnxruntime>=1.18; python_version >= "3.10"',
            # From 1.19 on it needs an ml_dtypes that TensorFlow 2.15 does not take, and does not say so.
            'onnx<1.19; python_version >= "3.10" and python_version < "3.12"',
        ],
        "completion": ["shtab>=1.6"],
        "viewer": ['gradio>=6; python_version >= "3.10"', 'plotly>=6; python_version >= "3.10"'],
        "dev": [
            "pytest>=7.3",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "setuptools>=64",
            "wheel",
            # For the notebooks of examples/.
            "nbclient>=0.8",
            "ipykernel>=6",
        ],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "lint": ['ruff==0.17.*; python_version >= "3.10"', 'mypy==2.4.*; python_version >= "3.10"'],
    },
    entry_points={
        "console_scripts": [
            f"sfmlearner-{module.rsplit('.', 1)[1].replace('_', '-')} = {module}:cli" for module in COMMANDS
        ]
    },
)
