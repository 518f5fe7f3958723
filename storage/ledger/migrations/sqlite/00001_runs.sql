-- +goose Up

-- "upkp": a file that carries another number is not ours and is never touched.
PRAGMA application_id = 1970301808;

CREATE TABLE specs (
    digest TEXT NOT NULL PRIMARY KEY,
    text   TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id           TEXT    NOT NULL PRIMARY KEY,
    workflow     TEXT    NOT NULL,
    slot         INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    trigger      TEXT    NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'api', 'check')),
    spec         TEXT    NOT NULL REFERENCES specs (digest),
    params       TEXT    NOT NULL,
    jobs         TEXT    NOT NULL,
    dry_run      INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    requested_by TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'warned', 'failed', 'canceled', 'skipped', 'lost')),
    reason       TEXT    NOT NULL,
    message      TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    node         TEXT    NOT NULL,
    epoch        INTEGER NOT NULL,
    canceled_by  TEXT    NOT NULL,
    reopened_by  TEXT    NOT NULL,
    queued_at    INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    UNIQUE (workflow, slot, host)
) STRICT;

CREATE INDEX runs_workflow ON runs (workflow, id);
CREATE INDEX runs_state ON runs (state, trigger, id);
CREATE INDEX runs_workflow_state ON runs (workflow, state, trigger, id);
CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'running');

CREATE TABLE attempts (
    run          TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job          TEXT    NOT NULL,
    number       INTEGER NOT NULL CHECK (number > 0),
    kind         TEXT    NOT NULL,
    workflow     TEXT    NOT NULL,
    dry_run      INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    epoch        INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('running', 'succeeded', 'warned', 'failed', 'canceled', 'skipped', 'lost')),
    reason       TEXT    NOT NULL,
    error        TEXT    NOT NULL,
    hint         TEXT    NOT NULL,
    exit_code    INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    result       TEXT    NOT NULL,
    superseded   INTEGER NOT NULL CHECK (superseded IN (0, 1)),
    output_bytes INTEGER NOT NULL,
    output_cut   INTEGER NOT NULL,
    PRIMARY KEY (run, job, number)
) STRICT;

CREATE INDEX attempts_past ON attempts (workflow, job, finished_at, run, number)
    WHERE state IN ('succeeded', 'warned') AND dry_run = 0;

CREATE TABLE outputs (
    run    TEXT    NOT NULL,
    job    TEXT    NOT NULL,
    number INTEGER NOT NULL,
    codec  TEXT    NOT NULL CHECK (codec IN ('raw', 'zstd')),
    head   BLOB    NOT NULL,
    tail   BLOB    NOT NULL,
    cut    INTEGER NOT NULL,
    PRIMARY KEY (run, job, number),
    FOREIGN KEY (run, job, number) REFERENCES attempts (run, job, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE artifacts (
    run      TEXT    NOT NULL,
    job      TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    store    TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    bytes    INTEGER NOT NULL,
    sha256   TEXT    NOT NULL,
    modified INTEGER,
    PRIMARY KEY (run, job, number, store, key),
    FOREIGN KEY (run, job, number) REFERENCES attempts (run, job, number) ON DELETE CASCADE
) STRICT;

CREATE INDEX artifacts_object ON artifacts (store, key);

CREATE TABLE locks (
    key   TEXT    NOT NULL PRIMARY KEY,
    run   TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job   TEXT    NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT    NOT NULL,
    since INTEGER NOT NULL
) STRICT;

CREATE INDEX locks_run ON locks (run);

CREATE TABLE nodes (
    instance      TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    process       TEXT    NOT NULL,
    labels        TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    command       TEXT    NOT NULL,
    registered_at INTEGER NOT NULL,
    lease_until   INTEGER
) STRICT;
