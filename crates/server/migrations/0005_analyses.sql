-- What is found out about a window besides its words, by kind: who speaks when, for example. It goes with its window.
CREATE TABLE analyses (
    job_id  TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    payload TEXT    NOT NULL CHECK (json_valid(payload)),
    PRIMARY KEY (job_id, number, kind),
    FOREIGN KEY (job_id, number) REFERENCES windows (job_id, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
