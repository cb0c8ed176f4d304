# `make demo` and `make test` each set up all they need in .venv; a second run installs nothing again.
PYTHON ?= python3
VENV := .venv
VENV3 := .venv-keras3
# Processes that run the tests, each whole files: what is made once for a file is made once.
JOBS ?= 2

.PHONY: docs setup setup-keras3 setup-lint test test-keras3 test-cross-stack demo reproduce-demo lint fuzz mutants kill-resume endurance bench real clean

setup: $(VENV)/.installed
setup-keras3: $(VENV3)/.installed
setup-lint: $(VENV)/.lint-installed

$(VENV)/.installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt -e '.[dev,video,static,onnx,viewer,completion]'
	touch $@

# The package's own requirements name the default stack, so it goes in without them.
$(VENV3)/.installed: requirements-keras3.txt setup.py
	$(PYTHON) -m venv $(VENV3)
	$(VENV3)/bin/python -m pip install --quiet --upgrade pip
	$(VENV3)/bin/python -m pip install --quiet -r requirements-keras3.txt pytest pytest-xdist hypothesis setuptools wheel nbclient ipykernel imageio-ffmpeg scikit-image tf2onnx onnxruntime 'gradio>=6' plotly shtab
	$(VENV3)/bin/python -m pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.lint-installed: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet -e '.[lint]'
	touch $@

test: setup
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile

test-keras3: setup-keras3
	$(VENV3)/bin/python -m pytest -n $(JOBS) --dist loadfile

# What one stack saves the other loads, both ways at once.
test-cross-stack: setup setup-keras3
	rm -rf .cross-stack
	$(VENV)/bin/python tests/cross_stack.py write .cross-stack/default & \
		$(VENV3)/bin/python tests/cross_stack.py write .cross-stack/keras3 && wait $$!
	$(VENV3)/bin/python tests/cross_stack.py read .cross-stack/default & \
		$(VENV)/bin/python tests/cross_stack.py read .cross-stack/keras3 && wait $$!
	rm -rf .cross-stack

demo: setup
	$(VENV)/bin/python tools/demo.py

# The demo's weights, evaluated as the paper does; its world has no odometry layout, so that is rendered beside it.
reproduce-demo: demo
	$(VENV)/bin/python tools/make_synthetic_kitti.py --output_dir=demo/odometry --img_height=64 --img_width=208 \
		--num_train_scenes=24 --num_test_scenes=4 --frames_per_scene=50 --layouts=odometry --stereo=false
	$(VENV)/bin/python tools/reproduce.py --kitti_raw=demo/world/kitti_raw --kitti_odom=demo/odometry/kitti_odometry \
		--ckpt_depth=demo/checkpoints/model.latest --ckpt_pose=demo/checkpoints/model.latest \
		--test_file_list=demo/world/kitti_raw/test_files.txt --seq_length=3 --img_height=64 --img_width=208 \
		--output_dir=demo/reproduce

# The pages of docs/ and the API, into site/.
docs: setup
	$(VENV)/bin/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

lint: setup-lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# By hand, for hours: docs/reliability.md says what they found.
fuzz: setup
	$(VENV)/bin/python -m pip install --quiet 'atheris>=3'
	$(VENV)/bin/python tests/fuzz/fuzz.py

mutants: setup
	$(VENV)/bin/python -m pip install --quiet 'cosmic-ray>=8.7'
	$(VENV)/bin/python tests/mutants.py

kill-resume: setup
	$(VENV)/bin/python benchmarks/kill_resume.py --kills=200 --steps=2000

endurance: demo
	$(VENV)/bin/python benchmarks/endurance.py --dataset_dir=demo/formatted --minutes=60

# Two stages, generated streets and then real video, measured on frames kept out; RECORDINGS has the recordings that
# benchmarks/real_video.py names. The table and the curves go to real/results, the weights to real/runs.
RECORDINGS ?= data
VARIANTS ?= scale_consistent
STEPS ?= 4000,2500
SEEDS ?= 1
TRAFFIC ?= 0

real: setup
	$(VENV)/bin/python -m pip install --quiet -e . opencv-python-headless
	$(VENV)/bin/python benchmarks/train_on_real.py --data_dir=$(RECORDINGS) --output_dir=real --results_dir=real/results \
		--variants=$(VARIANTS) --steps=$(STEPS) --seeds=$(SEEDS) --traffic=$(TRAFFIC) --img_height=64 --img_width=208

bench: setup
	$(VENV)/bin/python benchmarks/bench.py

clean:
	rm -rf $(VENV) $(VENV3) .cross-stack demo build dist *.egg-info
