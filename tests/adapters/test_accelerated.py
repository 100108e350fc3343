"""A CPU environment that carries CUDA, and a CUDA one that does not, are refused as they are made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nomic_scaffold.errors import CheckFailedError, ExitCode
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.variant import Accelerator
from nomic_scaffold.workflows.install import refuse_mixture

CPU_TORCH = "from typing import Optional\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"
CUDA_TORCH = "cuda: Optional[str] = '12.9'\nhip: Optional[str] = None\n"


def environment(
    folder: Path,
    accelerator: Accelerator,
    *,
    torch: str | None,
    conda: tuple[str, ...] = (),
    site: tuple[str, ...] = (),
) -> Prefix:
    (folder / "conda-meta").mkdir(parents=True)
    for name in ("numpy-2.4.6-py313_0", *conda):
        (folder / "conda-meta" / f"{name}.json").write_text("{}")
    packages = folder / "lib" / "python3.13" / "site-packages"
    packages.mkdir(parents=True)
    for name in ("numpy", *site):
        (packages / name).mkdir()
    if torch is not None:
        (packages / "torch").mkdir()
        (packages / "torch" / "version.py").write_text(torch)
    return Prefix(path=folder, provider="conda", accelerator=accelerator, python=Path(sys.executable))


@pytest.mark.parametrize(
    ("accelerator", "torch", "conda", "site", "told"),
    [
        ("cpu", CUDA_TORCH, (), (), "built for CUDA 12.9"),
        ("cpu", CPU_TORCH, ("cuda-cudart-12.9.79-h5888daf_0",), (), "cuda-cudart is there"),
        ("cpu", CPU_TORCH, ("libcublas-12.9.1.4-h9ab20c4_0",), (), "libcublas is there"),
        ("cpu", CPU_TORCH, ("libcudnn-9.10.1.4-h7646684_0",), (), "libcudnn is there"),
        ("cpu", CPU_TORCH, ("nccl-2.27.3.1-h9b8ff78_0",), (), "nccl is there"),
        ("cpu", CPU_TORCH, (), ("nvidia",), "nvidia is there"),
        ("cpu", None, (), ("nvidia_cublas_cu12-12.9.dist-info",), "nvidia_cublas_cu12"),
        ("cuda", CPU_TORCH, ("cuda-cudart-12.9.79-h5888daf_0",), (), "torch there is a CPU build"),
    ],
    ids=["cuda-torch", "cudart", "cublas", "cudnn", "nccl", "wheel", "wheel-metadata", "cpu-torch"],
)
def test_a_mixture_is_refused(
    tmp_path: Path, accelerator: str, torch: str | None, conda: tuple[str, ...], site: tuple[str, ...], told: str
) -> None:
    prefix = environment(tmp_path, Accelerator(accelerator), torch=torch, conda=conda, site=site)
    with pytest.raises(CheckFailedError, match=told) as raised:
        refuse_mixture(prefix)
    assert raised.value.exit_code == ExitCode.CHECK_FAILED


@pytest.mark.parametrize(
    ("accelerator", "torch", "conda"),
    [
        ("cpu", CPU_TORCH, ()),
        ("cpu", None, ()),
        ("cuda", CUDA_TORCH, ("cuda-cudart-12.9.79-h5888daf_0",)),
        ("cuda", None, ()),
    ],
    ids=["cpu", "cpu-without-torch", "cuda", "cuda-without-torch"],
)
def test_what_belongs_together_passes(
    tmp_path: Path, accelerator: str, torch: str | None, conda: tuple[str, ...]
) -> None:
    prefix = environment(tmp_path, Accelerator(accelerator), torch=torch, conda=conda, site=("nvidia_ml_py",))
    refuse_mixture(prefix)
