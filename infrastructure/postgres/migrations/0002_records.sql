-- Written by the recorder in the transaction of the event that counts them.

CREATE TABLE manifest_pages (
    scan_id text COLLATE "C" NOT NULL,
    first_index bigint NOT NULL,
    files integer NOT NULL,
    connector text NOT NULL,
    first_chunk bigint NOT NULL,
    chunk_starts bigint[] NOT NULL,
    objects bytea NOT NULL,
    PRIMARY KEY (scan_id, first_index)
);
ALTER TABLE manifest_pages ALTER COLUMN objects SET STORAGE EXTERNAL;

-- Objects that were opened and not scanned to their end; what planning skipped stands in the manifest itself.
CREATE TABLE object_exceptions (
    scan_id text COLLATE "C" NOT NULL,
    object_index bigint NOT NULL,
    disposition text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (scan_id, object_index)
);

CREATE TABLE findings (
    scan_id text COLLATE "C" NOT NULL,
    finding_id text COLLATE "C" NOT NULL,
    connector text NOT NULL,
    object text COLLATE "C" NOT NULL,
    object_index bigint NOT NULL,
    detector text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    confidence real NOT NULL,
    count bigint NOT NULL,
    "column" text,
    first_seen_at timestamptz NOT NULL,
    occurrences jsonb NOT NULL,
    PRIMARY KEY (scan_id, finding_id)
);
CREATE INDEX findings_in_order_idx ON findings
    (scan_id, category, detector, left(object, 256), object_index, finding_id);

-- Parts of a report that was too large for one message, until its last part arrives.
CREATE TABLE report_parts (
    scan_id text COLLATE "C" NOT NULL,
    chunk bigint NOT NULL,
    attempt integer NOT NULL,
    part integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (scan_id, chunk, attempt, part)
);
