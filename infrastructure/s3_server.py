"""A real S3 server for the demo and the tests: loopback only, signatures verified, keys in byte order."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from domain.errors import ServiceUnavailable
from infrastructure.s3_server_venv import s3_python

REGION = "us-east-1"
READY_SECONDS = 30.0
STOP_SECONDS = 5.0

_SERVE = """
import os, shutil, socket, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    for folder in sys.argv[2:]:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)

threading.Thread(target=end_with_parent, daemon=True).start()
import uvicorn
config = uvicorn.Config("ministack.app:app", access_log=False, log_level="error", timeout_keep_alive=75)
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""
"""Ends when its standard input does, removing the temporary folders it was given: with its parent, however that
died, and whichever thread started it (a parent-death signal would fire when that thread ends)."""


class S3Server:
    """One server process. `access_key_id` and `secret_access_key` belong to an IAM user that may do all in S3.

    With `data_dir` buckets and objects outlive the process; without, they are in memory and a temporary folder.
    """

    region = REGION

    def __init__(self, data_dir: Path | None = None, port: int = 0) -> None:
        self._given_dir = data_dir
        self._port = port
        self._root_key = ("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        self._process: subprocess.Popen[bytes] | None = None
        self._dir = data_dir
        self.endpoint_url = ""
        self.access_key_id = ""
        self.secret_access_key = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"S3Server({self.endpoint_url or 'stopped'})"

    def start(self) -> Self:
        """Start and wait until it answers. Raises `ServiceUnavailable`."""
        self._dir = self._given_dir or Path(tempfile.mkdtemp(prefix="scanledger-s3-"))
        self._dir.mkdir(parents=True, exist_ok=True)
        try:
            with socket.create_server(("127.0.0.1", self._port), backlog=256) as listener:
                self.endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                self._process = self._spawned(self._dir, listener)
            self._wait_until_ready(self._dir)
            self.access_key_id, self.secret_access_key = self.add_user("scanledger", "s3:*")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and remove what was temporary. Repeating it does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()
        if self._given_dir is None and self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
        self._dir = self._given_dir

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it is stopped."""
        return self._process.pid if self._process else 0

    def client(self, service: str = "s3") -> Any:
        """A boto3 client of the account's root, who may do anything, for filling buckets and setting rights."""
        import boto3  # noqa: PLC0415 — slow to import, and a server that is only started does not need it
        from botocore.config import Config  # noqa: PLC0415 — see above

        make: Any = boto3.client  # its stubs want the service as a literal
        return make(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self._root_key[0],
            aws_secret_access_key=self._root_key[1],
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=32),
        )

    def add_user(self, name: str, *actions: str) -> tuple[str, str]:
        """A new IAM user that may do `actions` (such as `s3:GetObject`) on everything: its key pair."""

        iam = self.client("iam")
        try:
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="granted", PolicyDocument=policy)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            return key["AccessKeyId"], key["SecretAccessKey"]
        finally:
            iam.close()

    def _spawned(self, folder: Path, listener: socket.socket) -> subprocess.Popen[bytes]:
        temporary = [] if self._given_dir else [str(folder)]
        with (folder / "server.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 — our own interpreter and script
                [str(s3_python()), "-I", "-c", _SERVE, str(listener.fileno()), *temporary],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                env=self._environment(folder, listener.getsockname()[1]),
                start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
            )

    def _environment(self, folder: Path, port: int) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": self._root_key[0],
            "AWS_SECRET_ACCESS_KEY": self._root_key[1],
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "GATEWAY_PORT": str(port),
            "SERVICES": "s3,iam,sts",
            "LOG_LEVEL": "ERROR",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "S3_PERSIST": "1" if self._given_dir else "0",
            "S3_DATA_DIR": str(folder / "objects"),
            "STATE_DIR": str(folder / "state"),
            "TMPDIR": str(folder),
        }

    def _wait_until_ready(self, folder: Path) -> None:
        ready = f"{self.endpoint_url}/_ministack/ready"
        deadline, pause = time.monotonic() + READY_SECONDS, threading.Event()
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                with urllib.request.urlopen(ready, timeout=5):  # noqa: S310 — our own http address
                    return
            except (urllib.error.URLError, OSError):
                pause.wait(0.05)
        said = (folder / "server.log").read_text(errors="replace").strip()[-500:]
        raise ServiceUnavailable(f"The S3 server did not start: {said}")
