"""Keeps the processes of this box running: starts them, asks their health, restarts them, stops them.

Two of these run: the one that holds the lock leads, the other waits for the lock. When the leader dies,
the kernel gives the lock to the other, which leads on and starts a new one to wait. The services die with
the leader that started them (PR_SET_PDEATHSIG), so nothing is ever run twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import structlog

from services.cli import health, lifecycle, locks, pids, processes
from services.cli.lifecycle import Life, State
from services.cli.state import Files, ServiceState, SwarmState
from services.common.channel import open_channel
from services.common.process import SUPERVISOR_VARIABLE, run
from services.common.settings import Settings

HEALTH_PAUSE = 0.1
STANDBY_PAUSE = 0.5
LOG_LIMIT = 16 * 1024 * 1024

log = structlog.get_logger()


def end_leftovers(files: Files) -> bool:
    """Ends services of a leader that died, where the kernel has not done it yet (or does not: macOS).

    True when there was such a leader: then this one takes over.
    """
    state = files.read()
    for service in state.services.values() if state else ():
        pids.end(service.pid, service.started, signal.SIGKILL, pids.KILL_PATIENCE)
    return state is not None


def spawn(settings: Settings, files: Files) -> subprocess.Popen[bytes]:
    """A new supervisor, detached from this process: it leads as soon as it gets the lock."""
    with files.log("supervisor").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **settings.environment()},
            cwd=processes.ROOT,
            start_new_session=True,
        )


class Service:
    """One process and its life."""

    def __init__(self, process: processes.Process, settings: Settings, files: Files) -> None:
        self.process = process
        self.settings = settings
        self.address = settings.address(process.address)
        self.log_file = files.log(process.name)
        self.life = Life()
        self.child: asyncio.subprocess.Process | None = None
        self.started: float | None = None

    async def start(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_LIMIT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as output:
            self.child = await asyncio.create_subprocess_exec(
                *self.process.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **self.process.variables(self.settings, dict(os.environ)),
                    SUPERVISOR_VARIABLE: str(os.getpid()),
                },
                cwd=processes.ROOT,
            )
        self.started = pids.start_of(self.child.pid)
        self.life = lifecycle.started(self.life, time.monotonic())
        log.info("started", name=self.process.name, pid=self.child.pid)

    async def ready(self) -> bool:
        if self.process.health == "http":
            status, _ = await asyncio.to_thread(health.http_json, f"http://{self.address}/health")
            # Any answer means that the process serves; whether the swarm is whole is another question.
            return status != 0
        # A channel of its own each time: a connection to the predecessor's port must not be believed.
        async with open_channel(self.address) as channel:
            return await health.grpc_ready(channel)

    def tell(self) -> ServiceState:
        pid = self.child.pid if self.child and self.child.returncode is None else None
        life = self.life
        return ServiceState(life.state, pid, life.restarts, self.address, life.detail, self.started)


class Supervisor:
    """The leader's work. `run` returns when everything has been stopped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = Files(settings.home)
        self.services = [Service(each, settings, self.files) for each in processes.load()]
        self.standby: subprocess.Popen[bytes] | None = None
        self.stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        if end_leftovers(self.files):
            for service in self.services:
                service.life = Life(proven=True)
        self._tell()
        watchers = [asyncio.create_task(self._keep(service)) for service in self.services]
        watchers.append(asyncio.create_task(self._keep_standby()))
        watchers.append(asyncio.create_task(self._stop_wanted()))
        # The watchers never end by themselves: the first that is done is the wish to stop, or a bug.
        done, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await self._stop_all()
        self.files.clear()
        for task in done:
            task.result()

    async def _stop_wanted(self) -> None:
        await self.stop.wait()

    async def _keep(self, service: Service) -> None:
        """One service's life, again and again, until it fails for good."""
        while True:
            await service.start()
            self._tell()
            child = service.child
            assert child is not None
            exit_ = asyncio.create_task(child.wait())
            try:
                while not exit_.done() and service.life.state is State.STARTING:
                    if await service.ready() and not exit_.done():
                        service.life = lifecycle.ready(service.life, time.monotonic())
                        log.info("ready", name=service.process.name)
                        self._tell()
                        break
                    await asyncio.wait([exit_], timeout=HEALTH_PAUSE)
                status = await exit_
            finally:
                exit_.cancel()
            service.life = lifecycle.exited(service.life, status, time.monotonic())
            log.warning("exited", name=service.process.name, status=status, state=service.life.state)
            self._tell()
            if service.life.state is State.FAILED or service.life.restart_at is None:
                await asyncio.Future()
            else:
                await asyncio.sleep(max(0.0, service.life.restart_at - time.monotonic()))

    async def _keep_standby(self) -> None:
        while True:
            if self.standby is None or self.standby.poll() is not None:
                self.standby = spawn(self.settings, self.files)
                self._tell()
            await asyncio.sleep(STANDBY_PAUSE)

    async def _stop_all(self) -> None:
        if self.standby is not None:
            self.standby.kill()
            self.standby.wait()
            self.standby = None
        # From the edge inwards: no one is left waiting for a service that is already gone.
        for service in reversed(self.services):
            child = service.child
            if child is None or child.returncode is not None:
                service.life = lifecycle.exited(
                    lifecycle.stopping(service.life, time.monotonic()), 0, time.monotonic()
                )
                continue
            service.life = lifecycle.stopping(service.life, time.monotonic())
            self._tell()
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), self.settings.drain + 5)
            except TimeoutError:
                log.warning("killed", name=service.process.name)
                child.kill()
                await child.wait()
            service.life = lifecycle.exited(service.life, 0, time.monotonic())
            self._tell()

    def _tell(self) -> None:
        standby = self.standby.pid if self.standby else None
        self.files.write(
            SwarmState(
                pid=os.getpid(),
                started=pids.own_start(),
                model=self.settings.model,
                instances=self.settings.instances,
                gateway=self.settings.address("gateway"),
                root=str(processes.ROOT),
                standby_pid=standby,
                standby_started=pids.start_of(standby) if standby else None,
                services={service.process.name: service.tell() for service in self.services},
            )
        )


async def lead(settings: Settings) -> None:
    """Waits for the lock, then supervises until told to stop."""
    files = Files(settings.home)
    files.make()
    # Blocking on purpose: while waiting there is nothing else to do, and SIGTERM ends the process.
    lock = locks.take(files.lock)
    try:
        await Supervisor(settings).run()
    finally:
        os.close(lock)


if __name__ == "__main__":
    run("supervisor", lead)
