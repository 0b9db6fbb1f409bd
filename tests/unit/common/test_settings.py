"""Defaults < file < environment < flags, and a wrong value is named with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import SwarmError
from services.common.settings import Settings, load


def test_each_source_overrules_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    file.write_text('port = 2000\nmodel = "file"\nqueue = 7\n')
    environ = {"SWARM_CONFIG": str(file), "SWARM_PORT": "3000", "SWARM_MODEL": "environment"}
    loaded = load({"port": 4000, "instances": None}, environ)
    assert (loaded.settings.port, loaded.settings.model, loaded.settings.queue) == (4000, "environment", 7)
    assert loaded.origin["port"] == "flag"
    assert loaded.origin["model"] == "environment"
    assert loaded.origin["queue"] == str(file)
    assert loaded.origin["instances"] == "default"


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"SWARM_PORT": "many"}, "port"),
        ({"SWARM_INSTANCES": "0"}, "instances"),
        ({"SWARM_HOST": "0.0.0.0"}, "host"),
        ({"SWARM_SANDBOX": "maybe"}, "sandbox"),
        ({"SWARM_SPECULATION": "always"}, "speculation"),
        ({"SWARM_QUORUM_READING": "1/2"}, "quorum_reading"),
        ({"SWARM_QUORUM_WRITING": "most"}, "quorum_writing"),
        ({"SWARM_QUORUM_DESTRUCTIVE": "5/4"}, "quorum_destructive"),
        ({"SWARM_TOOL_RISKS": "deploy=safe"}, "tool_risks"),
        ({"SWARM_VOTE_POLICY": "deploy"}, "vote_policy"),
    ],
)
def test_a_wrong_value_is_named_with_its_origin(environ: dict[str, str], word: str) -> None:
    with pytest.raises(SwarmError) as caught:
        load(environ=environ)
    assert caught.value.param == word
    assert "environment" in caught.value.message


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(SwarmError, match="prot"):
        load(environ={"SWARM_CONFIG": str(file)})


def test_a_broken_or_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    with pytest.raises(SwarmError, match=r"swarm\.toml"):
        load(environ={"SWARM_CONFIG": str(file)})
    file.write_text("port = = 1")
    with pytest.raises(SwarmError, match=r"swarm\.toml"):
        load(environ={"SWARM_CONFIG": str(file)})


def test_settings_survive_the_way_through_the_environment(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=4711, tools_root=tmp_path / "x", sandbox="none")
    assert load(environ=settings.environment()).settings == settings


def test_a_file_in_the_folder_of_a_service_says_nothing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "swarm.toml").write_text('worker_port = 9\nallowed_hosts = "elsewhere"\n')
    settings = Settings()
    monkeypatch.chdir(tmp_path)
    for variable in ("", "swarm.toml", "relative/and/not/here.toml"):
        environ = {"SWARM_CONFIG": variable, **settings.environment()}
        assert load(environ=environ).settings == settings


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_models_path_is_told_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swarm.toml").write_text('model = "m.gguf"\n' if source == "file" else "")
    environ = {"SWARM_MODEL": "m.gguf"} if source == "environment" else {}
    loaded = load({"model": "m.gguf"} if source == "flag" else None, environ)
    assert loaded.settings.model == str(tmp_path.resolve() / "m.gguf")
    assert load({"model": "hf:a/b:m.gguf"}, {}).settings.model == "hf:a/b:m.gguf"
    assert load({"draft_model": "d.gguf"}, {}).settings.draft_model == str(tmp_path.resolve() / "d.gguf")


def test_ports_follow_the_gateway_unless_given() -> None:
    settings = Settings(port=5000, consensus_port=9)
    assert settings.address("gateway") == "127.0.0.1:5000"
    assert settings.address("tool_server") == "127.0.0.1:5001"
    assert settings.address("consensus") == "127.0.0.1:9"
    assert settings.address("worker") == "127.0.0.1:5004"
    assert Settings(host="::1").address("gateway") == "[::1]:17615"
