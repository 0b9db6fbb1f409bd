"""The tool server as it is served: tools over gRPC, real sandbox, cancel, discovery."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.common.channel import open_channel
from services.common.errors import Reason
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from services.discovery.service import running as running_discovery
from services.tool_server.service import JOURNAL, running
from swarm.common.v1 import chat_pb2
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc
from swarm.tools.v1 import tools_pb2, tools_pb2_grpc
from tests.fakes.bubblewrap import require_bubblewrap

ANY = "127.0.0.1:0"


class Client:
    def __init__(self, channel: grpc.aio.Channel, home: Path) -> None:
        self.stub = tools_pb2_grpc.ToolServiceStub(channel)
        self.home = home

    def start(
        self, tool: str, session: str = "s1", seconds: float = 0.0, key: str = "", **arguments: Any
    ) -> grpc.aio.UnaryStreamCall[tools_pb2.ExecuteRequest, tools_pb2.ExecuteEvent]:
        request = tools_pb2.ExecuteRequest(
            session_id=session,
            call=chat_pb2.ToolCall(id="c1", name=tool, arguments_json=json.dumps(arguments)),
            timeout_seconds=seconds,
            idempotency_key=key,
        )
        return self.stub.Execute(request, timeout=30)

    async def call(self, tool: str, **options: Any) -> tools_pb2.ToolResult:
        *outputs, last = [event async for event in self.start(tool, **options)]
        assert all(event.HasField("output") for event in outputs)
        assert last.HasField("result")
        return last.result

    async def refusal(self, request: tools_pb2.ExecuteRequest) -> tuple[Reason, str | None]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(self.stub.Execute(request, timeout=30)))
        error = from_rpc_error(caught.value)
        return error.reason, error.param


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[Client]:
    async with (
        running(settings, ANY) as server,
        open_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield Client(channel, settings.home)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> None:
    require_bubblewrap(tmp_path_factory.mktemp("home"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with _served(Settings(home=tmp_path, discovery_port=1)) as client:
        yield client


async def test_the_tools_are_listed(client: Client) -> None:
    answer = await client.stub.ListTools(tools_pb2.ListToolsRequest(), timeout=5)
    assert [tool.name for tool in answer.tools] == ["read", "write", "bash"]
    assert json.loads(answer.tools[2].parameters_json)["required"] == ["command"]


@pytest.mark.usefixtures("sandbox")
async def test_files_pass_between_the_tools(client: Client) -> None:
    written = await client.call("write", path="src/hello.py", content="print('hello', 6 * 7)\n")
    assert (written.content, written.is_error, written.error_reason) == (
        "Created src/hello.py (22 bytes).",
        False,
        "",
    )
    assert not written.HasField("exit_code")
    ran = await client.call(
        "bash", command="cd src && python3 hello.py && pwd && cp hello.py /workspace/copy.py"
    )
    assert (ran.content, ran.exit_code, ran.is_error) == ("hello 42\n/workspace/src\n", 0, False)
    assert (await client.call("read", path="/workspace/copy.py")).content == "print('hello', 6 * 7)\n"
    # What bash made, write replaces, and the other way round.
    assert (await client.call("write", path="copy.py", content="x")).content.startswith("Replaced")
    assert (await client.call("bash", command="echo y >> copy.py; cat copy.py")).content == "xy\n"


@pytest.mark.usefixtures("sandbox")
async def test_sessions_do_not_see_one_another(client: Client) -> None:
    await client.call("write", session="a", path="only-in-a.txt", content="of a")
    for session in ("b", "../a", "a/"):
        assert (await client.call("read", session=session, path="only-in-a.txt")).error_reason == "NOT_FOUND"
    assert (await client.call("read", session="a", path="only-in-a.txt")).content == "of a"
    listing = await client.call("bash", session="b", command="find / -name 'only-in-a*' 2>/dev/null; ls -A")
    assert listing.content == "[no output]"


@pytest.mark.usefixtures("sandbox")
async def test_links_that_bash_makes_between_calls_lead_nowhere(client: Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "sessions").mkdir(exist_ok=True)
    await client.call("write", path="sub/f", content="mine")
    targets = {
        "file": f"{tmp_path}/secret",
        "dir": tmp_path,
        "root": f"/proc/self/root{tmp_path}",
        "up": "../..",
    }
    links = "; ".join(f"ln -s {target} {name}" for name, target in targets.items())
    assert (await client.call("bash", command=links)).exit_code == 0
    for path in ("file", "dir/secret", "root/secret", "up/secret", "../../secret", f"{tmp_path}/secret"):
        for arguments in ({"path": path}, {"path": path, "content": "overwritten"}):
            tool = "write" if "content" in arguments else "read"
            result = await client.call(tool, **arguments)
            assert (result.is_error, result.error_reason) == (True, "PATH_OUTSIDE_ROOT"), (tool, path)
    # A folder that was there becomes a link.
    await client.call("bash", command=f"rm -r sub; ln -s {tmp_path} sub")
    assert (await client.call("write", path="sub/secret", content="x")).error_reason == "PATH_OUTSIDE_ROOT"
    assert (await client.call("write", path="sub/new/f", content="x")).error_reason == "PATH_OUTSIDE_ROOT"
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("sandbox")
async def test_output_streams_before_the_command_ends(client: Client) -> None:
    call = client.start("bash", command="echo first; until [ -e go ]; do sleep 0.01; done; echo second")
    events = aiter(call)
    assert (await anext(events)).output.text == "first\n"
    await client.call("write", path="go", content="")
    rest = [event async for event in events]
    assert rest[0].output.text == "second\n"
    assert rest[-1].result.content == "first\nsecond\n"


@pytest.mark.usefixtures("sandbox")
async def test_a_flood_is_cut_in_stream_and_result(tmp_path: Path) -> None:
    async with _served(Settings(home=tmp_path, discovery_port=1, tool_output_limit=5000)) as client:
        call = client.start("bash", command="seq 1 200000; head -c 1000 /dev/urandom; echo; echo END")
        *outputs, last = [event async for event in call]
        assert len("".join(event.output.text for event in outputs)) < 5200
        assert last.result.truncated
        assert last.result.content.startswith("1\n2\n3\n")
        assert last.result.content.endswith("\nEND\n")
        assert len(last.result.content) < 5100
        assert last.result.exit_code == 0


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("options", [{"timeout": 0.4}, {"seconds": 0.4}])
async def test_time_runs_out(client: Client, options: dict[str, float]) -> None:
    started = time.monotonic()
    result = await client.call("bash", command="trap '' TERM; echo begun; sleep 300", **options)
    assert time.monotonic() - started < 3
    assert (result.is_error, result.error_reason) == (True, "DEADLINE_EXCEEDED")
    assert result.content == "begun\n[stopped: it ran longer than 0.4 s]"
    assert not result.HasField("exit_code")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("key", ["", "k"], ids=["without a key", "with a key"])
async def test_a_cancelled_call_kills_its_command_at_once(client: Client, key: str) -> None:
    # The command beats as long as it lives; a second one watches whether the heart stops.
    call = client.start("bash", key=key, command="echo up; while :; do date +%s%N > beat; sleep 0.02; done")
    assert (await anext(aiter(call))).output.text == "up\n"
    alive = '[ -e beat ] || sleep 0.3; a=$(cat beat); sleep 0.3; [ "$a" = "$(cat beat)" ]'
    assert (await client.call("bash", command=alive)).exit_code == 1
    call.cancel()
    still = 'a=$(cat beat); sleep 0.3; [ "$a" = "$(cat beat)" ]'
    started = time.monotonic()
    while (await client.call("bash", command=still)).exit_code != 0:
        assert time.monotonic() - started < 1.0


async def test_a_call_with_a_key_is_done_once(client: Client) -> None:
    first = await client.call("write", key="k", path="f", content="mine")
    await client.call("write", path="f", content="another's")
    again = await client.call("write", key="k", path="f", content="mine")
    assert (first.content, first.replayed) == ("Created f (4 bytes).", False)
    assert (again.content, again.replayed) == (first.content, True)
    assert (await client.call("read", path="f")).content == "another's"
    call = chat_pb2.ToolCall(id="c", name="read", arguments_json='{"path": "f"}')
    other = tools_pb2.ExecuteRequest(session_id="s1", call=call, idempotency_key="k")
    assert await client.refusal(other) == (Reason.INVALID_FIELD, "idempotency_key")


async def test_with_a_damaged_journal_only_calls_with_a_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("no journal")
    async with _served(Settings(home=tmp_path, discovery_port=1)) as client:
        call = chat_pb2.ToolCall(id="c", name="write", arguments_json='{"path": "f", "content": "x"}')
        request = tools_pb2.ExecuteRequest(session_id="s1", call=call, idempotency_key="k")
        assert await client.refusal(request) == (Reason.JOURNAL_UNAVAILABLE, None)
        assert (await client.call("read", path="f")).error_reason == "NOT_FOUND"
    assert (tmp_path / JOURNAL).read_text() == "no journal"


async def test_what_a_model_gets_wrong_is_a_result(client: Client) -> None:
    for tool, arguments, reason, words in [
        ("grep", {}, "TOOL_NOT_FOUND", "there are: read, write, bash"),
        ("read", {}, "INVALID_FIELD", "needs the argument path"),
        ("bash", {"command": "x", "timeout": 120000}, "INVALID_FIELD", "timeout"),
        ("read", {"path": "gone.txt"}, "NOT_FOUND", "gone.txt does not exist"),
        ("read", {"path": "/etc/passwd"}, "PATH_OUTSIDE_ROOT", "/etc/passwd"),
    ]:
        result = await client.call(tool, **arguments)
        assert (result.is_error, result.error_reason) == (True, reason)
        assert words in result.content


async def test_what_a_caller_gets_wrong_is_a_status(client: Client) -> None:
    call = chat_pb2.ToolCall(id="c", name="read", arguments_json="{}")
    request = tools_pb2.ExecuteRequest(call=call)
    assert await client.refusal(request) == (Reason.INVALID_FIELD, "session_id")
    for seconds in (-1.0, float("nan"), float("inf")):
        request = tools_pb2.ExecuteRequest(session_id="s", call=call, timeout_seconds=seconds)
        assert await client.refusal(request) == (Reason.INVALID_FIELD, "timeout_seconds")


async def test_without_bubblewrap_bash_is_refused_and_the_rest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with _served(Settings(home=tmp_path, discovery_port=1)) as client:
        result = await client.call("bash", command="touch made")
        assert (result.is_error, result.error_reason) == (True, "SANDBOX_UNAVAILABLE")
        assert "apt install bubblewrap" in result.content
        assert not (await client.call("write", path="f", content="x")).is_error
        assert (await client.call("read", path="f")).content == "x"
        assert (await client.call("read", path="made")).error_reason == "NOT_FOUND"


async def test_bare_when_the_user_says_so(tmp_path: Path) -> None:
    async with _served(Settings(home=tmp_path, discovery_port=1, sandbox="none")) as client:
        result = await client.call("bash", command="pwd; echo x > f")
        folder = Path(result.content.strip())
        assert folder.is_relative_to(tmp_path / "sessions")
        assert (await client.call("read", path=str(folder / "f"))).content == "x\n"


async def test_it_is_in_discoverys_list_while_it_serves(tmp_path: Path) -> None:
    async with running_discovery(Settings(home=tmp_path), ANY) as discovery:
        address = f"127.0.0.1:{discovery.port}"
        settings = Settings(home=tmp_path, discovery_port=discovery.port)
        async with open_channel(address) as channel:
            stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
            kind = discovery_pb2.MEMBER_KIND_TOOL_SERVER
            changes = aiter(stub.Watch(discovery_pb2.WatchRequest(kind=kind), timeout=30))
            assert list((await anext(changes)).members) == []
            async with running(settings, ANY) as server:
                (member,) = (await asyncio.wait_for(anext(changes), 10)).members
                assert member.address == f"127.0.0.1:{server.port}"
                async with open_channel(member.address) as tools:
                    answer = await tools_pb2_grpc.ToolServiceStub(tools).ListTools(
                        tools_pb2.ListToolsRequest(), timeout=5
                    )
                    assert answer.tools
            assert list((await asyncio.wait_for(anext(changes), 10)).members) == []
