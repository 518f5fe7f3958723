package pgbackup

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
)

// The formats of a dump.
const (
	formatCustom    = "custom"
	formatDirectory = "directory"
)

// Details is the backup's part of the manifest. With the streams beside it, it
// is all that a restore needs.
type Details struct {
	// Format is "custom", one pg_dump file for each database, or "directory",
	// one tar of pg_dump's directory for each.
	Format string `json:"format"`
	// Client is the version of the client programs that made the dumps, and
	// ClientMajor its major version: an older one cannot read them. ClientDir
	// is the folder they were found in.
	Client      string `json:"client"`
	ClientMajor int    `json:"client_major"`
	ClientDir   string `json:"client_dir"`
	// Filters are the options of pg_dump that left something out.
	Filters []string `json:"filters,omitempty"`
	// Globals are the roles and tablespaces of each server.
	Globals []Globals `json:"globals,omitempty"`
	// Databases are the dumps.
	Databases []Database `json:"databases"`
}

// Globals describes the roles and tablespaces of one server, as SQL.
type Globals struct {
	Server string `json:"server"`
	Stream string `json:"stream"`
	// Roles is how many are created.
	Roles int `json:"roles"`
	// Passwords tells that the hashes of their passwords are included.
	Passwords bool `json:"passwords"`
}

// Database describes one dump and the catalog of its snapshot.
type Database struct {
	// Name is the database's name on the server, Configured its name in the
	// configuration, or that of the one whose server it was found on. Stream
	// holds the dump.
	Name       string `json:"name"`
	Configured string `json:"configured"`
	Stream     string `json:"stream"`
	Server     Server `json:"server"`
	// Snapshot is the instant that the dump shows, UTC, by the server's clock,
	// and LSN its place in the server's log. HeldSeconds is how long it was
	// held.
	Snapshot    time.Time `json:"snapshot"`
	LSN         string    `json:"lsn,omitempty"`
	HeldSeconds float64   `json:"held_seconds"`
	Properties
	// Extensions, Roles and Tablespaces must exist, or be available, where it
	// is restored.
	Extensions  []Extension `json:"extensions,omitempty"`
	Roles       []string    `json:"roles,omitempty"`
	Tablespaces []string    `json:"tablespaces,omitempty"`
	// Settings are those of the database and of roles in it, as
	// "role: name=value" or "name=value", the role quoted as in SQL. The value
	// of a setting of an application is "…".
	Settings []string `json:"settings,omitempty"`
	// Grants are the privileges on the database itself when Granted, and else
	// those that every new database has.
	Grants  []Grant `json:"grants,omitempty"`
	Granted bool    `json:"granted,omitempty"`
	// Tables are all tables that hold rows, in the order of their names.
	Tables []Table `json:"tables"`
	// LargeObjects is how many there are, and LargeObjectsDumped tells whether
	// they are in the dump.
	LargeObjects       int64 `json:"large_objects"`
	LargeObjectsDumped bool  `json:"large_objects_dumped"`
}

// Server describes the server of a database.
type Server struct {
	Address string `json:"address"`
	Version string `json:"version"`
	Number  int    `json:"version_number"`
	// SystemID identifies the cluster; empty when the user may not see it.
	SystemID string `json:"system_id,omitempty"`
	// User made the dump, over TLS of that protocol, or without.
	User string `json:"user"`
	TLS  string `json:"tls,omitempty"`
	// Standby tells that it replays another server's log, which it was
	// LagSeconds behind.
	Standby    bool    `json:"standby,omitempty"`
	LagSeconds float64 `json:"lag_seconds,omitempty"`
	// Settings are those that matter to whoever restores.
	Settings map[string]string `json:"settings,omitempty"`
}

// Properties are those of the database itself.
type Properties struct {
	Owner            string `json:"owner"`
	Encoding         string `json:"encoding"`
	Collate          string `json:"collate"`
	CType            string `json:"ctype"`
	LocaleProvider   string `json:"locale_provider,omitempty"`
	Locale           string `json:"locale,omitempty"`
	CollationVersion string `json:"collation_version,omitempty"`
	Tablespace       string `json:"tablespace"`
	ConnectionLimit  int    `json:"connection_limit"`
	// Bytes is the size of the database on the server.
	Bytes int64 `json:"bytes"`
}

// Grant is one privilege on a database.
type Grant struct {
	// Role is who has it; empty for everybody, when Public.
	Role      string `json:"role,omitempty"`
	Public    bool   `json:"public,omitempty"`
	Privilege string `json:"privilege"`
	// Grantable tells that the role may grant it to others.
	Grantable bool `json:"grantable,omitempty"`
}

// Extension is an extension that the database uses.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Schema  string `json:"schema"`
}

// Table is a table that holds rows itself: partitions do, partitioned tables
// do not.
type Table struct {
	OID    uint32 `json:"oid"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Rows is their number in the dump's snapshot when Exact, else the
	// server's estimate.
	Rows  int64 `json:"rows"`
	Exact bool  `json:"exact"`
	// Bytes is the table's size on the server without its indexes.
	Bytes int64 `json:"bytes"`
	// Dumped tells that its rows are in the dump, as the entry of that number.
	Dumped bool `json:"dumped"`
	Entry  int  `json:"entry,omitempty"`
}

// rows adds up the rows of all tables in the dump.
func (d *Database) rows() (total int64) {
	for i := range d.Tables {
		if d.Tables[i].Dumped {
			total += d.Tables[i].Rows
		}
	}
	return total
}

// dumped counts the tables whose rows are in the dump.
func (d *Database) dumped() (n int) {
	for i := range d.Tables {
		if d.Tables[i].Dumped {
			n++
		}
	}
	return n
}

// DetailsOf returns the backup's part of a manifest.
func DetailsOf(m object.Manifest) (Details, error) {
	var d Details
	if m.Kind != "pgbackup" {
		return d, fmt.Errorf("artifact %s is not a PostgreSQL backup but was made by the kind %s", m.ID, m.Kind)
	}
	if err := json.Unmarshal(m.Details, &d); err != nil {
		return d, fmt.Errorf("artifact %s: %w: details: %w", m.ID, object.ErrDamaged, err)
	}
	return d, nil
}
