-- Sums over all scans, and what each open scan still wants: projections like the views, written with them.
CREATE TABLE scan_totals (
    name text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (name, label)
);
CREATE TABLE scan_loads (
    scan_id text COLLATE "C" PRIMARY KEY,
    chunks bigint NOT NULL,
    listings bigint NOT NULL,
    objects bigint NOT NULL,
    max_workers bigint NOT NULL,
    paused boolean NOT NULL,
    changed_at timestamptz NOT NULL
);

INSERT INTO scan_totals (name, label, value)
WITH done AS (
    SELECT v.status, v.view,
           (SELECT coalesce(sum((r ->> 1)::bigint - (r ->> 0)::bigint + 1), 0)
            FROM jsonb_array_elements(v.view -> 'done' -> 'ranges') AS r) AS ended,
           jsonb_array_length(v.view -> 'replaced') AS replaced
    FROM scan_views v
), lost AS (
    SELECT convert_from(e.state, 'UTF8')::json AS data FROM stored_events e
    WHERE e.topic = 'scan.chunk-failed'
      AND e.notification_id <= coalesce((SELECT position FROM followers WHERE name = 'projector'), 0)
), sums AS (
    SELECT 'scans' AS name, status AS label, count(*) AS value FROM done GROUP BY status
    UNION ALL SELECT 'chunks', 'planned', sum((view ->> 'chunks')::bigint) FROM done
    UNION ALL SELECT 'chunks', 'done', sum(ended - replaced)
        - (SELECT count(*) FROM lost WHERE (data ->> 'final')::boolean) FROM done
    UNION ALL SELECT 'chunks', 'replaced', sum(replaced) FROM done
    UNION ALL SELECT 'chunks', 'failed', count(*) FROM lost WHERE (data ->> 'final')::boolean
    UNION ALL SELECT 'attempts_lost', data ->> 'reason', count(*) FROM lost GROUP BY 2
    UNION ALL SELECT 'objects', 'discovered', sum((view -> 'coverage' ->> 'enumerated')::bigint) FROM done
    UNION ALL SELECT 'objects', 'scanned/', sum((view -> 'coverage' ->> 'scanned')::bigint) FROM done
    UNION ALL SELECT 'objects', 'skipped/' || key, sum(s.value::bigint)
        FROM done, jsonb_each_text(view -> 'coverage' -> 'skipped') AS s GROUP BY key
    UNION ALL SELECT 'objects', 'failed/' || key, sum(f.value::bigint)
        FROM done, jsonb_each_text(view -> 'coverage' -> 'failed') AS f GROUP BY key
    UNION ALL SELECT 'bytes', 'planned', sum((view ->> 'bytes_total')::bigint) FROM done
    UNION ALL SELECT 'bytes', 'read', sum((view ->> 'bytes_processed')::bigint) FROM done
)
SELECT name, label, value FROM sums WHERE value <> 0;

INSERT INTO scan_loads
SELECT scan_id,
       (view ->> 'chunks')::bigint - (SELECT coalesce(sum((r ->> 1)::bigint - (r ->> 0)::bigint + 1), 0)
                                      FROM jsonb_array_elements(view -> 'done' -> 'ranges') AS r),
       (SELECT count(*) FROM jsonb_array_elements(view -> 'units') AS u WHERE u ->> 'status' = 'open'),
       (view -> 'coverage' ->> 'enumerated')::bigint - (view -> 'coverage' ->> 'scanned')::bigint
           - (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(view -> 'coverage' -> 'skipped'))
           - (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(view -> 'coverage' -> 'failed')),
       (view -> 'options' ->> 'max_workers')::bigint,
       status = 'paused',
       (SELECT (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz FROM stored_events e
        WHERE e.originator_id = scan_id AND e.originator_version = scan_views.version)
FROM scan_views WHERE status IN ('queued', 'running', 'paused');

-- Findings ever recorded, by detector: counted as they are written, so that erasing some changes nothing about it.
CREATE TABLE finding_totals (
    detector text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    findings bigint NOT NULL,
    hits bigint NOT NULL,
    PRIMARY KEY (detector, category)
);

INSERT INTO finding_totals SELECT detector, category, count(*), sum(count) FROM findings GROUP BY detector, category;

CREATE FUNCTION count_findings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- In one order, so that two recorders never wait for each other.
    INSERT INTO finding_totals AS t
    SELECT detector, category, count(*), sum(count) FROM written GROUP BY detector, category ORDER BY detector, category
    ON CONFLICT (detector, category) DO UPDATE SET findings = t.findings + excluded.findings, hits = t.hits + excluded.hits;
    RETURN NULL;
END $$;

CREATE TRIGGER count_findings AFTER INSERT ON findings REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION count_findings();

-- The W3C trace context that a scan was started in, where calls are traced.
CREATE TABLE scan_traces (
    scan_id text COLLATE "C" PRIMARY KEY,
    traceparent text NOT NULL
);
