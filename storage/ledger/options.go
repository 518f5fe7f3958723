package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// HeartbeatEvery is how often an instance with the default lease calls
// Heartbeat; DefaultLeaseTTL is how long a lease lives without one.
const (
	HeartbeatEvery  = 5 * time.Second
	DefaultLeaseTTL = 15 * time.Second
)

// minLeaseTTL keeps a lease longer than the resolution of SQLite's clock and
// an ordinary pause of the garbage collector or the disk.
const minLeaseTTL = 50 * time.Millisecond

// Options say which ledger to open and as whom.
type Options struct {
	// DSN is "sqlite:PATH" or a PostgreSQL URL ("postgres://…"). The tables
	// live in the schema upkeep there, or in the one that the parameter
	// search_path of the URL names.
	DSN secret.String
	// Instance identifies this process as an owner of runs; the default is a
	// new UUID. Two live processes must never share one.
	Instance string
	// Node is the name of the node; the default is the host's name.
	Node string
	// Labels, Version and Command describe the instance to people: the node's
	// labels, the program's version, and what was called ("upkeep serve").
	Labels           []string
	Version, Command string
	// Member tells that the node belongs to the system for good, as a service
	// does and a command does not: it is on record until somebody forgets it.
	Member bool
	// Exclusive makes Open take the lock file of an SQLite ledger, without
	// which no process should execute runs; it fails with *LockedError when
	// another process holds it. It means nothing for PostgreSQL.
	Exclusive bool
	// LeaseTTL is how long this instance counts as alive after a Heartbeat.
	// The default is DefaultLeaseTTL on PostgreSQL and none on SQLite, where
	// the lock file and the process tell instead.
	LeaseTTL time.Duration
	// KeepRuns lets an instance whose lease ran out go on with its runs: it renews
	// the lease when it can, and writes until somebody has taken a run over.
	// Without it such an instance has lost everything and must register anew.
	KeepRuns bool
	// TakeOverAfter is for how long this instance must have held its lease without
	// interruption before what other dead nodes executed counts as pending; when
	// it registered for the first time, as long after the end of their leases is
	// enough. 0 means at once.
	TakeOverAfter time.Duration
	// StateDir is where LiveDir lies; the default is the folder of the SQLite
	// file. On PostgreSQL it must be set for LiveDir to work.
	StateDir string
	// Live returns what a running attempt has written so far, and whether this
	// machine can tell; nil means that it never can.
	Live func(runner.AttemptKey) (runner.Output, bool, error)
	// Alarm decides which ends of runs are faults; nil means none.
	Alarm runner.Alarm
	// Owed is called after a transaction that left notices to be sent, or that
	// may bring the next instant of Settle forward, from the goroutine that made
	// it, so it must not block; nil means that nobody wants to know. It may be
	// called in vain.
	Owed func()
	// Flapping says when incidents count as coming and going; the default is
	// DefaultFlapping.
	Flapping Flapping
	// Log receives what a person should know about the ledger itself; nil
	// means nobody.
	Log *slog.Logger
}

// Flapping says when an incident counts as one that comes and goes, which keeps
// it open and spares people the messages: when it began, ended, or changed its
// severity at least Changes times Within a while. It is steady again when it
// did none of that for Stable.
type Flapping struct {
	// Changes below 0 means never.
	Changes        int
	Within, Stable time.Duration
}

// DefaultFlapping is the rule where no other is set.
func DefaultFlapping() Flapping {
	return Flapping{Changes: 5, Within: 30 * time.Minute, Stable: 10 * time.Minute}
}

// place is a parsed DSN: the path of an SQLite file or a PostgreSQL URL.
type place struct {
	path   string
	server secret.String
}

// CheckDSN tells what is wrong with a DSN without opening anything.
func CheckDSN(dsn secret.String) error {
	_, err := parseDSN(dsn)
	return err
}

// parseDSN never repeats the DSN in an error, because it may hold a password.
func parseDSN(dsn secret.String) (place, error) {
	const forms = "write sqlite:PATH or postgres://USER@HOST/DATABASE"
	text := dsn.Reveal()
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return place{}, jobs.WithHint(errors.New("no ledger is configured"), forms)
	case !found:
		return place{}, jobs.WithHint(errors.New("the ledger's address has no scheme"), forms)
	case scheme == "sqlite":
		return parseSQLitePath(rest)
	case scheme == "postgres" || scheme == "postgresql":
		if _, err := parsePostgresURL(text); err != nil {
			return place{}, err
		}
		return place{server: dsn}, nil
	}
	return place{}, jobs.WithHint(errors.New("the ledger's address has an unknown scheme"), forms)
}

func parseSQLitePath(path string) (place, error) {
	switch {
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
		return place{}, jobs.WithHint(errors.New("sqlite://… names a host, not a file"),
			"write sqlite:PATH, or sqlite:///PATH for an absolute path")
	case strings.ContainsAny(path, "?\x00"):
		return place{}, jobs.WithHint(errors.New("the path of the ledger's file contains a question mark or NUL"),
			"options after ? are not supported: upkeep sets what a ledger needs")
	case strings.Contains(path, ":memory:"):
		return place{}, errors.New("a ledger in memory would forget every run")
	case path == "" || strings.HasSuffix(path, "/"):
		return place{}, jobs.WithHint(errors.New("the ledger's address names no file"), "write sqlite:var/upkeep.db")
	}
	return place{path: filepath.Clean(path)}, nil
}

func parsePostgresURL(text string) (*url.URL, error) {
	u, err := secret.ParseURL(text)
	// url.Parse quotes parts of the password when it holds a bare / # or ?,
	// so its error is not passed on.
	if err != nil || u.Host == "" && u.Query().Get("host") == "" {
		return nil, jobs.WithHint(errors.New("the ledger's address is not a valid PostgreSQL URL"),
			"percent-encode / ? # @ : and % in the user's name and password")
	}
	return u, nil
}

// complete returns o with its defaults.
func (o Options) complete() (Options, error) {
	host, err := os.Hostname()
	if err != nil {
		return o, fmt.Errorf("find the host's name: %w", err)
	}
	if o.Node == "" {
		o.Node = host
	}
	if o.Instance == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return o, fmt.Errorf("make an identity: %w", err)
		}
		o.Instance = id.String()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Flapping == (Flapping{}) {
		o.Flapping = DefaultFlapping()
	}
	if o.LeaseTTL != 0 && o.LeaseTTL < minLeaseTTL {
		return o, fmt.Errorf("a lease of %s is too short: use at least %s", o.LeaseTTL, minLeaseTTL)
	}
	for what, text := range map[string]string{"instance": o.Instance, "node": o.Node} {
		if err := checkName(what, text); err != nil {
			return o, err
		}
	}
	return o, nil
}
