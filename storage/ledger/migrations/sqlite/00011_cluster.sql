-- +goose Up

-- What a node says of itself: the digest of what its configuration has in
-- common with those of the others, the file, whether it takes nothing new, and
-- where its pages are.
ALTER TABLE nodes ADD COLUMN config      TEXT    NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN config_path TEXT    NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN draining    INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1));
ALTER TABLE nodes ADD COLUMN web         TEXT    NOT NULL DEFAULT '';
-- Whether it is the service of its node, and no command.
ALTER TABLE nodes ADD COLUMN member      INTEGER NOT NULL DEFAULT 0 CHECK (member IN (0, 1));

-- The nodes that belong to the system, whether they are there or not.
CREATE TABLE members (
    name       TEXT    NOT NULL PRIMARY KEY,
    labels     TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

-- What running attempts have written so far, for the other nodes.
CREATE TABLE live_outputs (
    run    TEXT    NOT NULL,
    job    TEXT    NOT NULL,
    number INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    bytes  BLOB    NOT NULL,
    PRIMARY KEY (run, job, number, epoch, place)
) STRICT;
