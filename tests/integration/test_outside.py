"""Places outside of the database where checkpoints are kept: a folder and a real bucket, held to the same rules."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.checkpoint import Checkpoint
from infrastructure.audit.outside import Outside, OutsideAway, OutsideDiffers, OutsideFolder, file_name, open_outside
from infrastructure.audit.outside_bucket import OutsideBucket
from infrastructure.audit.signing import SealKey
from infrastructure.s3_server import S3Server
from tests.fixtures_s3 import Bucket

KEY = SealKey(bytes(32))
YEAR = timedelta(days=365)


def checkpoint(size: int, root: int = 1) -> Checkpoint:
    return Checkpoint("scanledger/i/t", size, bytes([root] * 32))


@pytest.fixture(params=["folder", "bucket"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Outside:
    if request.param == "folder":
        return OutsideFolder(tmp_path / "checkpoints")
    bucket: Bucket = request.getfixturevalue("bucket")
    return OutsideBucket(bucket.client, bucket.name, "/seal/", YEAR)


def test_the_newest_checkpoint_of_a_tenant_is_found_whatever_is_believed_to_be_there(outside: Outside) -> None:
    assert outside.newest("t", (1, 0)) is None
    assert outside.newest("t", (1, 99)) is None
    for place in ((1, 9), (1, 10), (2, 3)):
        outside.write("t", place, KEY.signed(checkpoint(place[1])))
    outside.write("t.2/x", (9, 9), KEY.signed(checkpoint(9)))
    for known in ((1, 0), (1, 9), (1, 10), (2, 3), (2, 99), (3, 1)):
        assert outside.newest("t", known) == (2, checkpoint(3))
    assert outside.newest("t.2/x", (1, 0)) == (9, checkpoint(9))


def test_a_checkpoint_is_written_once_and_never_replaced(outside: Outside) -> None:
    note = KEY.signed(checkpoint(9))
    outside.write("t", (1, 9), note)
    outside.write("t", (1, 9), note)
    with pytest.raises(OutsideDiffers, match="another checkpoint"):
        outside.write("t", (1, 9), KEY.signed(checkpoint(9, root=2)))
    assert outside.newest("t", (1, 9)) == (1, checkpoint(9))


def test_files_are_for_their_owner_to_read_alone_and_drafts_are_removed(tmp_path: Path) -> None:
    OutsideFolder(tmp_path / "a" / "b").write("t", (1, 9), KEY.signed(checkpoint(9)))
    (path,) = (tmp_path / "a" / "b" / "t").iterdir()
    assert path.name == file_name((1, 9)) == "000001-00000000000000000009.checkpoint"
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_damaged_or_not_ours_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    outside = open_outside(str(tmp_path), YEAR)
    outside.write("t", (1, 9), KEY.signed(checkpoint(9)))
    (tmp_path / "t" / "notes.txt").touch()
    assert outside.newest("t", (1, 9)) == (1, checkpoint(9))
    (tmp_path / "t" / file_name((1, 10))).write_bytes(b"\xff")
    with pytest.raises(OutsideAway, match="damaged"):
        outside.newest("t", (1, 9))


def test_a_bucket_that_is_away_or_missing_is_told_as_away(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", s3_server.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url),
    ):
        monkeypatch.setenv(name, value)
    outside = open_outside("s3://no-such-bucket/a", YEAR)
    with pytest.raises(OutsideAway, match="NoSuchBucket"):
        outside.newest("t", (1, 0))
    with pytest.raises(OutsideAway, match="NoSuchBucket"):
        outside.write("t", (1, 1), KEY.signed(checkpoint(1)))


@pytest.mark.parametrize("rule", [False, True])
def test_in_a_bucket_with_object_lock_a_checkpoint_is_locked_by_the_buckets_rule_or_ours(
    s3_client: Any, rule: bool
) -> None:
    name = f"locked-{rule}".lower()
    s3_client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    if rule:
        retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 7}}
        s3_client.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
        )
    outside = OutsideBucket(s3_client, name, "", YEAR)
    outside.write("t", (1, 9), KEY.signed(checkpoint(9)))
    told = s3_client.head_object(Bucket=name, Key=f"t/{file_name((1, 9))}")
    days = (told["ObjectLockRetainUntilDate"] - datetime.now(UTC)) / timedelta(days=1)
    assert (told["ObjectLockMode"], round(days)) == (("GOVERNANCE", 7) if rule else ("COMPLIANCE", 365))
