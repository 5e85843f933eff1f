-- A writer that remembers more of a stream than the log holds, because an older copy of the database took its place,
-- must not append behind a gap. One probe of the primary key a stream; as a scalar subquery it is never planned as a join.
CREATE OR REPLACE FUNCTION append_events(ids text[], versions bigint[], topics text[], states bytea[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    rewound text;
BEGIN
    LOCK TABLE stored_events IN EXCLUSIVE MODE;
    SELECT f.id INTO rewound
    FROM (SELECT n.id, min(n.version) AS first FROM unnest(ids, versions) AS n (id, version) GROUP BY n.id) AS f
    WHERE f.first > 1 AND (SELECT s.originator_version FROM stored_events s
                           WHERE s.originator_id = f.id AND s.originator_version = f.first - 1) IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'stream % ends before the events that are to be followed', rewound USING ERRCODE = '23R01';
    END IF;
    PERFORM pg_notify('stored_events', '');
    RETURN QUERY
        INSERT INTO stored_events (originator_id, originator_version, topic, state)
        SELECT e.id, e.version, e.topic, e.state
        FROM unnest(ids, versions, topics, states) WITH ORDINALITY AS e (id, version, topic, state, place)
        ORDER BY e.place
        RETURNING notification_id;
END $$;
