"""Law 8 with a real new process: save weights and memory, load both elsewhere, and write the same tokens."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from everlong.models import LanguageModel, list_models
from everlong.models.base import ModelConfig
from tests.laws.cases import CASES, model

CONTINUE = """
import json, sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import everlong

torch.set_num_threads(1)
result = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    told = json.loads((folder / "config.json").read_text())
    model = everlong.create_model(told["name"], **told["fields"]).eval()
    model.load_state_dict(load_file(folder / "weights"))
    memory = everlong.load_memory(folder / "memory", model)
    token = torch.tensor(told["next"])
    written = []
    with torch.inference_mode():
        for _ in range(12):
            logits, memory = model(token, memory)
            token = logits.argmax(dim=-1)
            written.append([token[:, 0].tolist(), logits.sum().item()])
    result[folder.name] = written
print(json.dumps(result))
"""


def write(here: LanguageModel[object], token: torch.Tensor, memory: object) -> list[object]:
    written: list[object] = []
    with torch.inference_mode():
        for _ in range(12):
            logits, memory = here(token, memory)
            token = logits.argmax(dim=-1)
            written.append([token[:, 0].tolist(), logits.sum().item()])
    return written


def test_a_memory_goes_on_in_a_new_process(tmp_path: Path) -> None:
    expected = {}
    for number, (case, (name, fields)) in enumerate(CASES.items()):
        here = model(case).eval()
        folder = tmp_path / f"{number:02} {name}"
        folder.mkdir()
        tokens = torch.randint(11, (2, 17))
        with torch.inference_mode():
            _, memory = here(tokens, starts=torch.rand(2, 17) < 0.1)
        (folder / "config.json").write_text(
            json.dumps({"name": name, "fields": fields, "next": tokens[:, :1].tolist()})
        )
        save_file({key: leaf.clone() for key, leaf in here.state_dict().items()}, folder / "weights")
        memory.save(folder / "memory")
        expected[folder.name] = write(here, tokens[:, :1], memory)
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == expected
    assert {key.split(" ")[1] for key in expected} == set(list_models("causal"))


def test_config_survives_json() -> None:
    for case in CASES:
        config: ModelConfig = model(case).config
        assert type(config).parse(json.loads(config.to_json())) == config
