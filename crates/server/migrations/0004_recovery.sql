-- What recovery needs to know. `jobs` and `windows` are made anew, for SQLite cannot change a CHECK: run with
-- foreign keys off, or dropping the old tables would take their children along.

-- Tells the folder of uploads of one database from another's.
CREATE TABLE identity (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

INSERT INTO identity (id) VALUES (
    lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
        || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))
);

-- What may be long comes last: SQLite reads a row up to the column that it needs, so that a page which is damaged where a
-- long name goes on does not keep anyone from finding the other jobs.
CREATE TABLE new_jobs (
    id                TEXT    NOT NULL PRIMARY KEY,
    status            TEXT    NOT NULL
                      CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    completed_at      INTEGER,
    -- The process that works on it, and who in it may write: set while the job is being processed, and only then.
    process           TEXT,
    lease_token       TEXT,
    lease_expires_at  INTEGER,
    -- Whether no other job was worked on in its process since it was claimed.
    alone             INTEGER NOT NULL DEFAULT 0 CHECK (alone IN (0, 1)),
    -- Whether a window was stored since it was claimed.
    progressed        INTEGER NOT NULL DEFAULT 0 CHECK (progressed IN (0, 1)),
    -- How often in a row its process ended while it was alone there and had stored no window since its claim.
    strikes           INTEGER NOT NULL DEFAULT 0,
    -- Since when it is known that a process ended while it was being worked on; null once a window was stored since.
    suspect_since     INTEGER,
    -- What the stored windows were made with; windows of another fingerprint are not mixed with them.
    fingerprint       TEXT,
    -- Decided once, from the first windows.
    detected_language TEXT,
    file_size         INTEGER NOT NULL,
    file_type         TEXT    NOT NULL CHECK (file_type IN ('audio', 'video')),
    duration          REAL,
    progress          INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    step              TEXT    NOT NULL,
    filename          TEXT    NOT NULL,
    -- What the client asks of the decoding, as JSON; what is null or missing is left to the service's settings.
    options           TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(options)),
    -- What of the file is heard and how, as JSON; null where that is to be found out.
    tracks            TEXT,
    webhook_url       TEXT,
    error_message     TEXT,
    error_detail      TEXT,
    CHECK ((status = 'processing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK ((status IN ('failed', 'cancelled')) = (error_message IS NOT NULL)),
    CHECK ((status = 'completed') = (progress = 100))
) STRICT;

-- Attempts of the older version say nothing of guilt, so nobody starts with a strike.
INSERT INTO new_jobs (id, filename, file_size, file_type, duration, options, webhook_url, status, created_at,
    started_at, completed_at, progress, step, error_message, error_detail, lease_token, lease_expires_at)
SELECT id, filename, file_size, file_type, duration, wishes, webhook_url, status, created_at,
    started_at, completed_at, progress, step, error_message, error_detail, lease_token, lease_expires_at
FROM jobs ORDER BY rowid;

DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;

-- Ended jobs, in time nearly all, stay out of what the workers search.
CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE status IN ('pending', 'processing');

-- Windows of jobs that have not ended; the result replaces them.
CREATE TABLE new_windows (
    job_id           TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    start            REAL    NOT NULL,
    "end"            REAL    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'processing', 'done')),
    -- How often its transcription was begun.
    attempts         INTEGER NOT NULL DEFAULT 0,
    lease_token      TEXT,
    lease_expires_at INTEGER,
    -- Which form `transcript` has.
    payload_version  INTEGER NOT NULL,
    transcript       TEXT,
    PRIMARY KEY (job_id, number),
    CHECK ((state = 'processing') = (lease_token IS NOT NULL)),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((state = 'done') = (transcript IS NOT NULL))
) STRICT;

INSERT INTO new_windows (job_id, number, start, "end", state, attempts, payload_version, transcript)
SELECT job_id, number, start, "end", 'done', 1, 1, transcript FROM windows;

DROP TABLE windows;
ALTER TABLE new_windows RENAME TO windows;

-- What happened to a job, numbered within it from 1; kept after its end.
CREATE TABLE events (
    job_id TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL CHECK (kind IN ('status', 'progress', 'window')),
    data   TEXT    NOT NULL CHECK (json_valid(data)),
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;

-- A call's body is put together from the job and its result when the call is made.
ALTER TABLE deliveries DROP COLUMN body;
