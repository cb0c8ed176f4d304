"""The documents and the commands that they show."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "checkpoints/README.md"]


def read_commands():
    """Our commands that documents show, each as the document's path and what comes after `python`."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text().replace("\\\n", " ")
        for line in re.findall(r"^ {4,}((?:python|sfmlearner-[a-z-]+) .+)$", text, re.MULTILINE):
            program, *words = shlex.split(re.sub(r"<[^>]+>", "0", line), comments=True)  # <what the reader fills in>
            if words[-1] == "...":
                continue
            if program != "python":
                module = program.replace("sfmlearner-", "").replace("-", "_")
                folder = "sfmlearner_tf" if module == "train" else "sfmlearner_tf/tools"
                words = [f"{folder}/{module}.py", *words]
            if words[0] != "-c":
                found.append((str(document.relative_to(ROOT)), *words))
    return found
