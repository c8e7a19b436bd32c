"""Whether a node is fit is found out on real disks."""

import os
import subprocess

import pytest
import torch
from pisft.cluster import health


def test_a_node_that_can_write_is_fit(tmp_path):
    assert health.fault(tmp_path, 0, 0) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    assert health.fault(tmp_path / "elsewhere", 0, 0) == f"{tmp_path}/elsewhere: No such file or directory"


def test_too_little_room(tmp_path):
    found = health.fault(tmp_path, 0, 10**9)
    assert "GiB free, 1000000000 needed (config/site.yaml: train.free_gb)" in found


def test_a_disk_that_does_not_answer(tmp_path, monkeypatch):
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(bytes(16 << 20))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")  # which a user's PATH may lack
    mounted = subprocess.run(["mkfs.ext4", "-q", image]).returncode == 0 and (
        subprocess.run(["mount", "-o", "loop", image, folder]).returncode == 0
    )
    if not mounted:
        pytest.skip("needs to mount a disk of its own")
    monkeypatch.setattr(health, "SLOW_S", 0.5)
    try:
        subprocess.run(["fsfreeze", "--freeze", folder], check=True)
        try:
            assert health.fault(folder, 0, 0) == f"{folder}: no answer within 0 s"
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpus_that_torch_cannot_use_are_a_fault_unless_they_are_not_wanted(tmp_path, monkeypatch):
    monkeypatch.delenv("PISFT_DEVICE", raising=False)
    assert health.fault(tmp_path, 2, 0).startswith("2 GPUs were allocated, torch can use 0")
    assert health.fault(tmp_path, 0, 0) is None
    monkeypatch.setenv("PISFT_DEVICE", "cpu")
    assert health.fault(tmp_path, 2, 0) is None
