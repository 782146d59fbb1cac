-- What lists and searches jobs, joins or repeats uploads, and sweeps what has had its time.

-- The file name in lower case, for searches.
ALTER TABLE jobs ADD COLUMN search_name TEXT NOT NULL DEFAULT '';
-- SHA-256 of the upload, in hexadecimal; null for jobs of older versions.
ALTER TABLE jobs ADD COLUMN content_hash TEXT;

-- Whether its upload was removed after its end, or is about to be: then it cannot be done anew.
ALTER TABLE jobs ADD COLUMN upload_given_up INTEGER NOT NULL DEFAULT 0 CHECK (upload_given_up IN (0, 1));

UPDATE jobs SET search_name = lower(filename);

CREATE INDEX jobs_listed ON jobs (created_at, id);
CREATE INDEX jobs_ended ON jobs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX jobs_content ON jobs (content_hash) WHERE content_hash IS NOT NULL;

-- What a job waits for is told from the index alone.
DROP INDEX jobs_unfinished;
CREATE INDEX jobs_unfinished ON jobs (created_at, status, duration, progress) WHERE status IN ('pending', 'processing');

-- Which request a client has sent under its key. A key lasts a day, and goes with its job.
CREATE TABLE idempotency_keys (
    key          TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of what was asked and of the upload, in hexadecimal.
    request_hash TEXT    NOT NULL,
    job_id       TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_of_job ON idempotency_keys (job_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Calls go with their job.
CREATE INDEX deliveries_of_job ON deliveries (job_id);

-- Events carry segments now, instead of the places of windows.
CREATE TABLE new_events (
    job_id TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL CHECK (kind IN ('status', 'progress', 'segment')),
    data   TEXT    NOT NULL CHECK (json_valid(data)),
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;

INSERT INTO new_events (job_id, number, at, kind, data)
SELECT job_id, number, at, kind, data FROM events WHERE kind <> 'window';

-- The segments of jobs that are under way.
INSERT INTO new_events (job_id, number, at, kind, data)
SELECT windows.job_id,
    (SELECT coalesce(max(number), 0) FROM events WHERE events.job_id = windows.job_id)
        + row_number() OVER (PARTITION BY windows.job_id ORDER BY windows.number, segments.key),
    (SELECT coalesce(max(at), 0) FROM events WHERE events.job_id = windows.job_id),
    'segment',
    json_set(segments.value, '$.window', windows.number,
        '$.language', json_extract(windows.transcript, '$.language'))
-- A window that is damaged fails its job alone, later.
FROM windows, json_each(iif(json_valid(windows.transcript), windows.transcript, '{}'), '$.segments') AS segments
WHERE windows.state = 'done';

DROP TABLE events;
ALTER TABLE new_events RENAME TO events;
