// Package seed makes folders with a configuration and a ledger that looks as if
// upkeep had run for a while: for tests of the pages, for benchmarks, and for
// whoever wants to look at the pages. It knows the tables of the ledger, since
// no interface of it records the past, and refuses to touch a ledger that has
// runs already.
package seed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	alertsall "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
)

// Options say what a folder is like.
type Options struct {
	// Dir is the folder. It exists and is empty.
	Dir string
	// Web is the value of `web:` in the configuration, as YAML.
	Web string
	// Target is where the checks of Usual ask, an http:// address without a path;
	// Answer answers there.
	Target string
	// Now is when the story ends.
	Now time.Time
	// Runs is how many runs Huge records.
	Runs int
}

// ConfigName is the name of the configuration in its folder.
const ConfigName = "upkeep.yaml"

// Catalog is everything that a configuration may name.
func Catalog() configs.Catalog {
	return configs.Catalog{
		Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Channels: alerts.NewRegistry(alertsall.Kinds()...), Getenv: os.LookupEnv,
	}
}

// Empty is a system on its first day: one workflow, and nothing has happened.
func Empty(ctx context.Context, o Options) error {
	return o.begin(ctx, strings.ReplaceAll(emptyConfig, "{web}", o.Web), func(*configs.Config, *book) error { return nil })
}

// begin writes a configuration, makes its ledger and has it filled.
func (o Options) begin(ctx context.Context, text string, fill func(*configs.Config, *book) error) (err error) {
	path := filepath.Join(o.Dir, ConfigName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	cfg, err := configs.Load(path, Catalog())
	if err != nil {
		return fmt.Errorf("load the configuration: %w", err)
	}
	b, err := openBook(ctx, filepath.Join(o.Dir, "var", "upkeep.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // closing ends by itself
	return fill(cfg, b)
}

// book is a ledger that is being filled.
type book struct {
	ledger *ledger.Ledger
	db     *sql.DB
}

// openBook makes the ledger at path, and a connection past it that does not
// wait for the disk.
func openBook(ctx context.Context, path string) (*book, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the ledger: %w", err)
	}
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New("sqlite:" + path), Exclusive: true, Node: "db-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("make the ledger: %w", err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)&_pragma=foreign_keys(OFF)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the ledger: %w", err), l.Close()) //nolint:contextcheck // closing ends by itself
	}
	db.SetMaxOpenConns(1)
	b := &book{ledger: l, db: db}
	var runs int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM runs LIMIT 1)").Scan(&runs); err != nil || runs > 0 {
		return nil, errors.Join(err, errors.New("the ledger has runs already"), b.close()) //nolint:contextcheck // closing ends by itself
	}
	return b, nil
}

func (b *book) close() error { return errors.Join(b.db.Close(), b.ledger.Close()) }

// calendars records that all slots until now are decided, so that a service
// that starts owes nothing for the past.
func (b *book) calendars(ctx context.Context, cfg *configs.Config, since, through time.Time) error {
	for _, w := range cfg.Workflows {
		if w.Schedule.IsZero() {
			continue
		}
		_, err := b.db.ExecContext(ctx, "INSERT INTO cursors (workflow, host, schedule, through, since) VALUES (?, '', ?, ?, ?)",
			w.Name, ticker.RuleOf(w.Schedule), through.UnixMicro(), since.UnixMicro())
		if err != nil {
			return fmt.Errorf("record the calendar of %s: %w", w.Name, err)
		}
	}
	return nil
}

// specs records the texts of workflows as runs freeze them.
func (b *book) specs(ctx context.Context, cfg *configs.Config) error {
	for _, w := range cfg.Workflows {
		if _, err := b.db.ExecContext(ctx, "INSERT INTO specs (digest, text) VALUES (?, ?) ON CONFLICT DO NOTHING", w.Spec.Digest, w.Spec.Text); err != nil {
			return fmt.Errorf("record the workflow %s: %w", w.Name, err)
		}
	}
	return nil
}

// idOf is the ID of something that was recorded at an instant; serial tells
// apart what was recorded in the same millisecond.
func idOf(at time.Time, serial int) string {
	return fmt.Sprintf("%08x-%04x-7%03x-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, at.UnixMicro()%1000*4, serial)
}

func runIDOf(at time.Time, serial int) runner.RunID { return runner.RunID(idOf(at, serial)) }
