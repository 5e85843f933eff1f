"""The S3 server of the demo and the tests leaves nothing behind and keeps what it is told to keep."""

import os
import subprocess
import sys
import threading
import time
from contextlib import closing

import psutil
import pytest

from infrastructure.s3_server import S3Server

GRACE = 10.0


def gone(pid: int) -> bool:
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        threading.Event().wait(0.02)
    return False


def test_stopping_ends_the_process_and_removes_its_folder_and_may_be_repeated():
    server = S3Server().start()
    pid = server.pid
    server.stop()
    server.stop()
    assert gone(pid)
    assert server.pid == 0


def test_the_server_dies_with_a_parent_that_was_killed_and_leaves_no_folder(tmp_path):
    program = (
        "import sys\nfrom infrastructure.s3_server import S3Server\n"
        "server = S3Server().start()\nprint(server.pid, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        assert list(tmp_path.iterdir())
        parent.kill()
        parent.wait()
    assert gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_the_server_outlives_the_thread_that_started_it():
    server = S3Server()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        with closing(server.client()) as client:
            assert client.list_buckets()["Buckets"] == []
    finally:
        server.stop()


def test_objects_in_a_data_folder_are_there_after_a_restart(tmp_path):
    with S3Server(tmp_path / "data") as server, closing(server.client()) as client:
        client.create_bucket(Bucket="kept")
        client.put_object(Bucket="kept", Key="odd//../key", Body=b"content")
    with S3Server(tmp_path / "data") as server, closing(server.client()) as client:
        assert client.get_object(Bucket="kept", Key="odd//../key")["Body"].read() == b"content"


def test_a_stranger_is_refused(s3_server):
    with closing(s3_server.client()) as known:
        known.list_buckets()
        stranger = S3Server()
        stranger.endpoint_url = s3_server.endpoint_url
    with closing(stranger.client()) as client, pytest.raises(client.exceptions.ClientError):
        client.list_buckets()
