-- Detectors that tenants made, as the fields of a rule file.
CREATE TABLE own_detectors (
    tenant_id text COLLATE "C" NOT NULL,
    detector_id text COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (tenant_id, detector_id)
);

-- What is known and not to be reported. Of an exact value only its SHA-256 is kept.
CREATE TABLE allowances (
    tenant_id text COLLATE "C" NOT NULL,
    allowance_id text COLLATE "C" NOT NULL,
    allowance jsonb NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (tenant_id, allowance_id)
);

-- A tenant's own rules as a scan was queued with them. Written with scan.queued, which names the digest; never changed.
CREATE TABLE rulesets (
    tenant_id text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);

-- Of a part that failed nobody knows the lines and records, but what it had found before counts.
ALTER TABLE object_parts ALTER COLUMN lines DROP NOT NULL;
ALTER TABLE object_parts ALTER COLUMN records DROP NOT NULL;
ALTER TABLE object_parts ADD COLUMN remark text NOT NULL DEFAULT '';

COMMENT ON TABLE object_exceptions IS
    'Objects skipped or failed while reading; with the disposition scanned, those that were read with a remark.';
