"""What is uploaded says what was measured, and goes where it is meant to and nowhere else."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import ModelCard
from made_up import closed_loop, evaluation, rate
from pisft.config import resolve
from pisft.export.upload import UploadError, assemble, upload
from pisft.records.provenance import Record
from typed_project import ROOT


@pytest.fixture
def run_dir(tmp_path):
    """As an experiment that was built leaves it, with weights of a few bytes."""
    folder = tmp_path / "results/pi05_libero"
    for name in ("checkpoint", "provenance", "export/openpi"):
        (folder / name).mkdir(parents=True)
    for name in ("checkpoint", "export/openpi"):
        (folder / name / "model.safetensors").write_bytes(b"weights")
    for stage in ("train", "evaluate"):
        parts = {part: {} for part in ("config", "code", "packages", "parents", "pins", "outputs")}
        Record(stage=stage, key=f"key of {stage}", uv_lock=None, **parts).write(folder / f"provenance/{stage}.json")
    config = resolve("pi05_libero", ROOT)
    (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json", by_alias=True)))
    rates = dict.fromkeys(config.eval.closed_loop.suites, rate(57, 60))
    whole = rate(216, 240)
    loop = closed_loop({"push": [True]}, simulator="libero", episodes_per_task=50, suites=rates, overall=whole)
    evaluation("pi05_libero", loop, loss=0.25, dx=0.125).write(folder / "eval.json")
    return folder


def test_the_cards_numbers_are_those_of_the_evaluation(run_dir, tmp_path):
    files = assemble(run_dir, "checkpoint", "apache-2.0", tmp_path / "uploaded")
    names = {path.relative_to(tmp_path / "uploaded").as_posix() for path in files}
    assert {"model.safetensors", "README.md", "eval.json", "experiment.json", "provenance/evaluate.json"} <= names
    card = ModelCard.load(tmp_path / "uploaded/README.md")
    assert card.data.license == "apache-2.0" and card.data.datasets == ["physical-intelligence/libero"]
    results = {result.dataset_name: result.metric_value for result in card.data.eval_results}
    suites = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
    assert results == dict.fromkeys(suites, 0.95) | {"mean over suites": 0.9}
    assert "| libero_spatial | 95.0 % | 57/60 | 86.3 – 98.3 % | 98.8 % |" in card.text
    assert "key of train" in card.text and "0.2500" in card.text and "0.125" in card.text


def test_uploading_again_replaces_and_something_else_is_never_replaced(run_dir, tmp_path):
    target = tmp_path / "uploaded"
    first = {path: path.read_bytes() for path in assemble(run_dir, "openpi", "apache-2.0", target)}
    (target / "left_over").touch()
    assert {path: path.read_bytes() for path in assemble(run_dir, "openpi", "apache-2.0", target)} == first
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter").touch()
    with pytest.raises(UploadError, match="thesis: holds other files; expected an empty or a new folder"):
        assemble(run_dir, "checkpoint", "apache-2.0", other)
    with pytest.raises(UploadError, match=r"export/lerobot: is missing; build .*export/lerobot/ with snakemake first"):
        assemble(run_dir, "lerobot", "apache-2.0", tmp_path / "new")
    assert (other / "chapter").is_file() and not (tmp_path / "new").exists()
    (target / ".git").mkdir()
    with pytest.raises(UploadError, match="uploaded: holds other files"):
        assemble(run_dir, "openpi", "apache-2.0", target)
    only_named_alike = tmp_path / "alike"
    only_named_alike.mkdir()
    (only_named_alike / "experiment.json").write_text("somebody's own")
    with pytest.raises(UploadError, match="alike: holds other files"):
        assemble(run_dir, "openpi", "apache-2.0", only_named_alike)


class Hub(BaseHTTPRequestHandler):
    """What an upload needs of the hub; every file is taken with the commit."""

    def do_POST(self):
        body = b"".join(self._read())
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        repo = "/api/models/me/policy"
        if self.path == "/api/repos/create":
            self.server.visibility = json.loads(body)["visibility"]
            self._answer({"url": "https://huggingface.co/me/policy", "name": "me/policy"})
        elif self.path == f"{repo}/preupload/main":
            how = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": file["path"]} | how for file in json.loads(body)["files"]]})
        elif self.path == f"{repo}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "deletedFile":
                    self.server.deleted.append(line["value"]["path"])
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer({"commitUrl": "https://huggingface.co/me/policy/commit/1", "commitOid": "1", "success": True})
        else:
            self._answer({"errors": [], "warnings": []})

    def _read(self):
        if "Content-Length" in self.headers:
            yield self.rfile.read(int(self.headers["Content-Length"]))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def do_GET(self):
        if "/tree/" in self.path:
            self._answer([{"type": "file", "path": "left_over", "size": 1, "oid": "0"}])
        else:
            there = [{"rfilename": "left_over"}]
            self._answer({"id": "me/policy", "sha": "0", "private": not self.server.public, "siblings": there})

    def _answer(self, content):
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen, server.files, server.visibility, server.public, server.deleted = [], {}, None, False, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield server
    server.shutdown()


def point_to(address, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)


def test_the_hub_gets_the_folder_in_a_private_repository(run_dir, tmp_path, hub):
    files = assemble(run_dir, "checkpoint", "apache-2.0", tmp_path / "uploaded")
    said = upload(tmp_path / "uploaded", "me/policy", private=True)
    assert "me/policy" in said and "hf_secret" not in said and hub.visibility == "private"
    assert hub.files == {path.relative_to(tmp_path / "uploaded").as_posix(): path.read_bytes() for path in files}
    assert {token for _, token in hub.seen} == {"Bearer hf_secret"}
    assert hub.deleted == ["left_over"], "what was there before and is no longer"


def test_what_is_meant_to_be_private_is_not_put_where_everybody_sees_it(run_dir, tmp_path, hub):
    assemble(run_dir, "checkpoint", "apache-2.0", tmp_path / "uploaded")
    hub.public = True
    with pytest.raises(UploadError, match="me/policy: exists and is public; nothing was uploaded"):
        upload(tmp_path / "uploaded", "me/policy", private=True)
    assert not hub.files


def test_a_hub_that_is_not_there_is_one_message(run_dir, tmp_path, monkeypatch):
    assemble(run_dir, "checkpoint", "apache-2.0", tmp_path / "uploaded")
    point_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(UploadError, match=r"me/policy: the upload failed: .*; see hf auth whoami"):
        upload(tmp_path / "uploaded", "me/policy", private=True)
