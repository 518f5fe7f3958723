-- +goose Up

CREATE TABLE series (
    id       INTEGER NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    value    REAL    NOT NULL
) STRICT;

-- A row is one sample where length is 0, else a stretch of so many microseconds from at.
CREATE TABLE samples (
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
    length INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    count  INTEGER NOT NULL CHECK (count > 0),
    sum    REAL    NOT NULL,
    low    REAL    NOT NULL,
    high   REAL    NOT NULL,
    PRIMARY KEY (series, length, at)
) STRICT, WITHOUT ROWID;
