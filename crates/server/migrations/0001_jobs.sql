-- Times are milliseconds since 1970 in UTC. JSON is kept as text, so that `sqlite3` shows it.

CREATE TABLE jobs (
    id               TEXT    NOT NULL PRIMARY KEY,
    filename         TEXT    NOT NULL,
    file_size        INTEGER NOT NULL,
    file_type        TEXT    NOT NULL CHECK (file_type IN ('audio', 'video')),
    duration         REAL,
    language         TEXT,
    webhook_url      TEXT,
    status           TEXT    NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    completed_at     INTEGER,
    progress         INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    step             TEXT    NOT NULL,
    error_message    TEXT,
    error_detail     TEXT,
    attempts         INTEGER NOT NULL DEFAULT 0,
    -- Who may write: set while the job is being processed, and only then.
    lease_token      TEXT,
    lease_expires_at INTEGER,
    CHECK ((status = 'processing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((status IN ('completed', 'failed')) = (completed_at IS NOT NULL)),
    CHECK ((status = 'failed') = (error_message IS NOT NULL)),
    CHECK ((status = 'completed') = (progress = 100))
) STRICT;

-- Ended jobs, in time nearly all, stay out of what the workers search.
CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE status IN ('pending', 'processing');

-- Windows of jobs that have not ended; the result replaces them.
CREATE TABLE windows (
    job_id     TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    start      REAL    NOT NULL,
    "end"      REAL    NOT NULL,
    transcript TEXT    NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT;

-- Apart from the jobs, because a result may be megabytes and a status is asked for often.
CREATE TABLE results (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    body   TEXT NOT NULL
) STRICT;

-- The webhooks' outbox: a row is written in the transaction that ends its job.
CREATE TABLE deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id          TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    url             TEXT    NOT NULL,
    -- Dropped once delivered: the result can be had from its own table.
    body            TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- Null once delivered or given up. Whoever takes the call moves this behind its own deadline.
    next_attempt_at INTEGER,
    delivered_at    INTEGER,
    last_error      TEXT
) STRICT;

CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
