"""Which files of a real package an image does without."""

from __future__ import annotations

from nomic_scaffold.formats.left_out import PATTERNS, leaves_out

MKL = """
libmkl_avx10.so.3 libmkl_avx2.so.3 libmkl_avx512.so.3 libmkl_blacs_intelmpi_ilp64.so.2 libmkl_blacs_intelmpi_lp64.so.2
libmkl_blacs_openmpi_ilp64.so.2 libmkl_blacs_openmpi_lp64.so.2 libmkl_cdft_core.so.2 libmkl_core.so.3 libmkl_def.so.3
libmkl_gf_ilp64.so.3 libmkl_gf_lp64.so.3 libmkl_gnu_thread.so.3 libmkl_intel_ilp64.so.3 libmkl_intel_lp64.so.3
libmkl_intel_thread.so.3 libmkl_mc3.so.3 libmkl_rt.so.3 libmkl_scalapack_ilp64.so.2 libmkl_scalapack_lp64.so.2
libmkl_sequential.so.3 libmkl_tbb_thread.so.3 libmkl_vml_avx10.so.3 libmkl_vml_avx2.so.3 libmkl_vml_avx512.so.3
libmkl_vml_cmpt.so.3 libmkl_vml_def.so.3 libmkl_vml_mc3.so.3
"""
"""What MKL 2026.1.0 puts into `lib`."""


def test_of_mkl_stays_what_torch_and_numpy_load_on_any_processor() -> None:
    kept = {
        name.removeprefix("libmkl_").split(".")[0] for name in MKL.split() if not leaves_out(PATTERNS, f"lib/{name}")
    }
    processors = {"avx10", "avx2", "avx512", "def"}
    layers = {"rt", "core", "intel_lp64", "gf_lp64", "intel_thread", "gnu_thread", "sequential"}
    assert kept == layers | processors | {f"vml_{name}" for name in processors} | {"vml_cmpt"}
