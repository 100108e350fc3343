"""The exact engine: the same bits under every setting that can be forced here, or a refusal; in other processes."""

import json
import os
import subprocess
import sys

import pytest
from my_project.torch_runtime import ExactError, choose_operators, exact_operators

VECTORS = """
import hashlib, json
import numpy as np
from my_project import embed

texts = ["water boils", "naïve café", "What is Deep Learning? " * 30, "x"]
first = embed(texts, engine="exact")
import torch

digests = []
for threads in THREADS:
    torch.set_num_threads(threads)
    digests.append(hashlib.sha256(embed(texts[::-1], engine="exact")[::-1].tobytes()).hexdigest())
off = float(np.abs(first - embed(texts, engine="reference")).max()) if REFERENCE else 0.0
print(json.dumps({"digests": [hashlib.sha256(first.tobytes()).hexdigest(), *digests], "off": off}))
"""
REFUSAL = """
from my_project import embed
from my_project.exact import ExactError

try:
    embed(["a"], engine="exact", **OPTIONS)
except ExactError as error:
    print(error)
"""


def run(script: str, **variables: str) -> str:
    unset = {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_the_bits_are_the_same_under_other_settings_and_threads_and_close_to_the_reference():
    if "AVX2" not in run("import torch; print(torch.backends.cpu.get_cpu_capability())", ATEN_CPU_CAPABILITY="avx2"):
        pytest.skip("this processor has no AVX2")
    plain = json.loads(run(VECTORS.replace("THREADS", "(1, 2, 5)").replace("REFERENCE", "True")))
    assert plain["off"] <= 3e-7
    other = json.loads(run(VECTORS.replace("THREADS", "(2,)").replace("REFERENCE", "False"), MKL_CBWR="COMPATIBLE"))
    assert len({*plain["digests"], *other["digests"]}) == 1


def test_torch_that_is_loaded_already_is_refused_with_what_to_set():
    said = run("import torch\n" + REFUSAL.replace("OPTIONS", "{}"))
    assert "has to set ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 before torch is loaded" in said


def test_bfloat16_is_refused():
    assert "exists for device='cpu' and dtype='float32'" in run(REFUSAL.replace("OPTIONS", "{'dtype': 'bfloat16'}"))


@pytest.mark.parametrize(("device", "dtype"), [("cuda", "float32"), ("cpu", "float16"), ("mps", "float32")])
def test_there_is_none_for_other_devices_and_types(device: str, dtype: str):
    with pytest.raises(ExactError, match=f"not '{device}' and '{dtype}'"):
        exact_operators(device, dtype)


def test_torch_that_is_not_held_to_avx2_is_refused():
    import torch

    if choose_operators("cpu", torch.float32)[1] or torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        pytest.skip("this processor computes with AVX2 at most")
    with pytest.raises(ExactError, match="needs torch held to AVX2, and it computes with AVX512"):
        exact_operators("cpu", "float32")
