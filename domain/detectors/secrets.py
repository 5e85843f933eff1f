"""Secrets: keys and tokens of services, anchored on the literals their issuers gave them."""

from typing import Final

from domain.detectors.rule import Detector, Pattern

_FAKE = ("example", "dummy", "sample", "placeholder", "changeme")

SECRETS: Final = (
    Detector(
        id="secret.aws-access-key",
        name="AWS access key id or secret access key",
        confidence=0.9,
        patterns=(
            Pattern(
                anchor=r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
                confirm=r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])",
                before=22,
                after=2,
            ),
            Pattern(
                anchor=r"""(?i)(?:secret_?access_?key|aws_?secret_?key)["']?[ \t]{0,4}[:=,][ \t]{0,4}["']?"""
                r"[A-Za-z0-9/+]{40}",
                confirm=r"""(?i:key)["']?[ \t]{0,4}[:=,][ \t]{0,4}["']?"""
                r"(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
                before=72,
                after=2,
            ),
        ),
        validator="aws_key",
        context=("aws", "access key", "access_key", "accesskey", "credential"),
        matches=(
            "aws_access_key_id = AKIAQ3EGRZTC2LWYB5NX",
            '{"AccessKeyId":"ASIAQ3EGRZTC2LWYB5NX"}',
            "aws_secret_access_key = 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",
        ),
        near_misses=(
            "AKIAQ3EGRZTC2LWYB5N",
            "XAKIAQ3EGRZTC2LWYB5NX",
            "AKIAQ3EGRZTC2LWYB5NXX",
            "AKIAq3egrztc2lwyb5nx",
            "secret_access_key = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
    ),
    Detector(
        id="secret.github-token",
        name="GitHub token",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"\bgh[oprsu]_[A-Za-z0-9]{36}\b",
                confirm=r"(?<!\w)gh[oprsu]_[A-Za-z0-9]{36}(?!\w)",
                before=44,
                after=2,
            ),
            Pattern(
                anchor=r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{8}",
                confirm=r"(?<!\w)github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}(?!\w)",
                before=48,
                after=60,
            ),
        ),
        validator="github_token",
        denial=_FAKE,
        matches=(
            "token ghp_w4WfRjxVpYh2vQnT7uBzKc9sLdEa6G1Ro5Xm",
            "github_pat_11ABCDEFG0hJkLmNoPqRsT_1a2B3c4D5e6F7g8H9i0JkLmNoPqRsTuVwXyZ1a2B3c4D5e6F7g8H9i0JkLm",
        ),
        near_misses=("ghp_short", "xghp_w4WfRjxVpYh2vQnT7uBzKc9sLdEa6G1Ro5Xm", "ghp_" + "a" * 37, "github_pat_x_y"),
    ),
    Detector(
        id="secret.slack-token",
        name="Slack token or webhook",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"\bxox[abeoprs][.-][A-Za-z0-9-]{10}",
                confirm=r"(?<![\w-])xox(?:[aboprs]|e(?:\.xox[bp])?)-[A-Za-z0-9-]{10,250}(?![A-Za-z0-9-])",
                before=18,
                after=256,
            ),
            Pattern(
                anchor=r"\bxapp-\d-[A-Z0-9]{8}",
                confirm=r"(?<![\w-])xapp-\d-[A-Z0-9]{8,20}-\d{8,16}-[a-f0-9]{16,80}(?![\w-])",
                before=18,
                after=160,
            ),
            Pattern(
                anchor=r"hooks\.slack\.com/(?:services|workflows)/[A-Z]",
                confirm=r"hooks\.slack\.com/(?:services|workflows)/[TA][A-Z0-9]{6,14}/[AB][A-Z0-9]{6,14}/[A-Za-z0-9]{16,40}",
                before=36,
                after=96,
            ),
        ),
        validator="slack_token",
        denial=_FAKE,
        matches=(
            "SLACK=xoxb-" + "2301948571-2384756102-aBcDeFgHiJkLmNoPqRsTuVwX",
            "https://hooks.slack.com/services/" + "T0ABCDEF1/B0ABCDEF2/a1B2c3D4e5F6g7H8i9J0k1L2",
        ),
        near_misses=("xoxb-short", "xoxz-2301948571-2384756102", "hooks.slack.com/services/", "xoxb-aaaaaaaaaaaaaa"),
    ),
    Detector(
        id="secret.stripe-key",
        name="Stripe API key or webhook secret",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16}",
                confirm=r"(?<!\w)[rs]k_(?:live|test)_[A-Za-z0-9]{16,247}(?!\w)",
                before=28,
                after=248,
            ),
            Pattern(
                anchor=r"\bwhsec_[A-Za-z0-9+/]{32}",
                confirm=r"(?<!\w)whsec_[A-Za-z0-9+/]{32,64}(?![\w+/])",
                before=42,
                after=48,
            ),
        ),
        validator="stripe_key",
        denial=_FAKE,
        matches=(
            "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
            "STRIPE_KEY: rk_test_" + "51Hq8sKLm3nPqRsTuVwXyZ0a",
            "whsec_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
        ),
        near_misses=("pk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "sk_live_short", "task_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ),
    Detector(
        id="secret.google-api-key",
        name="Google API key",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"\bAIza[A-Za-z0-9_-]{35}",
                confirm=r"(?<![\w-])AIza[A-Za-z0-9_-]{35}(?![\w-])",
                before=40,
                after=2,
            ),
        ),
        validator="random_key",
        denial=_FAKE,
        matches=("key=AIzaSyD9xQw3kLm7NpRs2TuVx5YzAb8CdEf1GhI",),
        near_misses=("AIzaSyD9xQw3kLm7NpRs2TuVx5YzAb8CdEf1Gh", "AIza" + "a" * 35, "AIza" + "Sy3kD9" * 6),
    ),
    Detector(
        id="secret.jwt",
        name="JSON Web Token",
        confidence=0.9,
        patterns=(
            Pattern(
                anchor=r"\beyJ[A-Za-z0-9_-]{8}",
                confirm=r"(?<![\w.-])eyJ[A-Za-z0-9_-]{8,1024}\.eyJ[A-Za-z0-9_-]{2,4096}\.[A-Za-z0-9_-]{0,1024}",
                before=14,
                after=6200,
            ),
        ),
        validator="jwt",
        context=("bearer", "authorization", "token", "jwt"),
        denial=_FAKE,
        matches=("Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.q3R5dWlvcGFzZGZnaGprbA",),
        near_misses=(
            "eyJub3QiOiJhIGp3dCJ9.eyJzdWIiOiI0MiJ9.q3R5dWlvcGFzZGZnaGprbA",
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJhbGciOiJIUzI1NiJ9.notjson.sig",
        ),
    ),
    Detector(
        id="secret.private-key",
        name="Private key (PEM or OpenPGP block)",
        confidence=0.95,
        patterns=(
            Pattern(
                anchor=r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----",
                confirm=r"-----BEGIN ((?:[A-Z0-9]{2,10} ){0,2})PRIVATE KEY(?: BLOCK)?-----"
                r"(?:(?:[^-]++|-(?!----))*+-----END \1PRIVATE KEY(?: BLOCK)?-----)?",
                before=72,
                after=16128,
            ),
        ),
        validator="private_key",
        matches=(
            "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq3\n" * 8 + "-----END RSA PRIVATE KEY-----\n",
            r'"-----BEGIN PRIVATE KEY-----\n' + "MIIEvQIBADANBgkqhkiG" * 8 + r'\n-----END PRIVATE KEY-----"',
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA",
        ),
        near_misses=(
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\n-----END PUBLIC KEY-----",
            "BEGIN RSA PRIVATE KEY",
            "-----BEGIN CERTIFICATE-----",
        ),
    ),
)
