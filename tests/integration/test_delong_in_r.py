"""DeLong's intervals and paired tests against R's pROC, where R is installed (Debian: r-cran-proc)."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from uniferum.evaluation.delong import delong, paired_delong

pytestmark = pytest.mark.integration

SCRIPT = """
suppressMessages(library(pROC))
d <- read.csv(commandArgs(TRUE)[1])
a <- roc(d$target, d$first, direction = "<", levels = c(0, 1), quiet = TRUE)
b <- roc(d$target, d$second, direction = "<", levels = c(0, 1), quiet = TRUE)
t <- roc.test(a, b, method = "delong", paired = TRUE)
i <- ci.auc(a, method = "delong")
cat(sprintf('{"auc": %.12f, "lo": %.12f, "hi": %.12f, "p": %.12g, "z": %.12f}', a$auc, i[1], i[3], t$p.value,
            -as.numeric(t$statistic)))
"""


@pytest.fixture(scope="module")
def rscript():
    path = shutil.which("Rscript")
    if path is None:
        pytest.skip("Rscript is not installed; on Debian: apt-get install r-cran-proc")
    asked = subprocess.run([path, "-e", "library(pROC)"], capture_output=True, check=False)
    if asked.returncode:
        pytest.skip("R has no package pROC; on Debian: apt-get install r-cran-proc")
    return path


@pytest.mark.parametrize("seed", range(6))
def test_interval_and_paired_test_equal_proc(rscript, tmp_path, seed):
    generator = np.random.default_rng(seed)
    target = np.concatenate(([0, 0, 1, 1], generator.integers(0, 2, 60 + 20 * seed)))
    first = np.round(generator.normal(size=len(target)) + 0.6 * target, seed % 3)
    second = np.round(0.5 * first + generator.normal(size=len(target)) + 0.9 * target, 1)
    data = tmp_path / "cases.csv"
    np.savetxt(data, np.column_stack([target, first, second]), "%.6f", ",", header="target,first,second", comments="")
    script = tmp_path / "delong.R"
    script.write_text(SCRIPT)
    done = subprocess.run([rscript, str(script), str(data)], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    ours, test = delong(target, first), paired_delong(target, first, second)
    assert (ours.value, ours.lo, ours.hi) == pytest.approx((theirs["auc"], theirs["lo"], theirs["hi"]), abs=1e-9)
    assert test.p == pytest.approx(theirs["p"], rel=1e-6)
    assert test.z == pytest.approx(theirs["z"], abs=1e-8)
