-- The chain of events. A payload that is NULL was erased.
CREATE TABLE event (
  position INTEGER PRIMARY KEY,
  stream   TEXT    NOT NULL,
  version  INTEGER NOT NULL,
  id       TEXT    NOT NULL,
  source   TEXT    NOT NULL,
  type     TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  time     INTEGER NOT NULL, -- microseconds since 1970, as recorded
  recorded INTEGER NOT NULL,
  actor    TEXT    NOT NULL,
  cause    TEXT    NOT NULL,
  data     BLOB,
  seal     BLOB    NOT NULL  -- digest (32 bytes), hash (32), salt (16, none once erased)
) STRICT;
CREATE UNIQUE INDEX event_identity ON event (source, id);
CREATE UNIQUE INDEX event_version  ON event (stream, version);
CREATE INDEX event_subject ON event (subject);
CREATE INDEX event_type    ON event (type);

-- The end of the chain, moved with every append: a tail that was cut off shows.
CREATE TABLE head (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  position INTEGER NOT NULL,
  hash     BLOB    NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, x'');

-- An empty holder: free. The row stays, so that epochs only grow.
CREATE TABLE lease (
  name   TEXT    PRIMARY KEY,
  holder TEXT    NOT NULL,
  epoch  INTEGER NOT NULL,
  until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projection (
  id      INTEGER PRIMARY KEY,
  name    TEXT    NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  cursor  INTEGER NOT NULL
) STRICT;

-- indexes repeats as JSON what state_index holds of the state.
CREATE TABLE state (
  projection INTEGER NOT NULL,
  key        TEXT    NOT NULL,
  state      BLOB    NOT NULL,
  indexes    TEXT    NOT NULL,
  PRIMARY KEY (projection, key)
) STRICT;

CREATE TABLE state_index (
  projection INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  value      TEXT    NOT NULL,
  sort       TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  PRIMARY KEY (projection, name, value, sort, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
  series TEXT    NOT NULL,
  start  INTEGER NOT NULL,
  data   BLOB    NOT NULL,
  PRIMARY KEY (series, start)
) STRICT;

CREATE TABLE blob_cursor (
  name   TEXT    PRIMARY KEY,
  cursor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
