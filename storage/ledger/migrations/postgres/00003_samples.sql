-- +goose Up

CREATE TABLE series (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     TEXT COLLATE "C"  NOT NULL UNIQUE,
    first_at BIGINT            NOT NULL,
    last_at  BIGINT            NOT NULL,
    value    DOUBLE PRECISION  NOT NULL
);

-- A row is one sample where length is 0, else a stretch of so many microseconds from at.
CREATE TABLE samples (
    series BIGINT           NOT NULL REFERENCES series ON DELETE CASCADE,
    length BIGINT           NOT NULL,
    at     BIGINT           NOT NULL,
    count  BIGINT           NOT NULL CHECK (count > 0),
    sum    DOUBLE PRECISION NOT NULL,
    low    DOUBLE PRECISION NOT NULL,
    high   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (series, length, at)
);
