-- Projections: written by the projector only, rebuildable from the log.

CREATE TABLE scan_views (
    scan_id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    status text NOT NULL,
    type text NOT NULL,
    connectors text[] NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    view jsonb NOT NULL
);
CREATE INDEX scan_views_newest_idx ON scan_views (tenant, created_at DESC, scan_id DESC);

CREATE TABLE scan_worker_views (
    scan_id text COLLATE "C" NOT NULL,
    worker_id text COLLATE "C" NOT NULL,
    view jsonb NOT NULL,
    PRIMARY KEY (scan_id, worker_id)
);

CREATE TABLE connector_views (
    connector_id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    created_at timestamptz NOT NULL,
    deleted boolean NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    view jsonb NOT NULL
);
CREATE INDEX connector_views_newest_idx ON connector_views (tenant, created_at DESC, connector_id DESC) WHERE NOT deleted;
