package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func newLedger(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ledger",
		Short:   "Look at the ledger itself, or move it to PostgreSQL",
		Long:    "Look at the ledger itself: where it is, how large, and what it holds; or move it from an\nSQLite file to a PostgreSQL server, so that several nodes can share the work.",
		Example: "  upkeep ledger status\n  upkeep ledger migrate --to '${env:UPKEEP_LEDGER}' --dry-run",
	}
	return withCommands(cmd, newLedgerStatus(a), newLedgerMigrate(a))
}

func newLedgerStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Tell where the ledger is, how large, and what it holds",
		Long:    "Tell where the ledger is, of what schema and how large, and how many rows each of its\ntables has. It counts them, which takes seconds where there are millions.",
		Example: "  upkeep ledger status\n  upkeep ledger status -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.ledgerStatus(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

// ledgerStatus is the ledger as JSON.
type ledgerStatus struct {
	Dialect string        `json:"dialect"`
	Address string        `json:"address"`
	Schema  int64         `json:"schema"`
	Bytes   int64         `json:"bytes"`
	Tables  []ledgerTable `json:"tables"`
}

type ledgerTable struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

func (a *app) ledgerStatus(ctx context.Context) error {
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	reader, err := ledger.OpenReader(ctx, service.LedgerOptions(cfg, version, a.log()))
	if errors.Is(err, ledger.ErrMissing) {
		return notFoundf("the first run makes it", "%v", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	v := ledgerStatus{Dialect: cfg.Ledger.Dialect, Address: reader.Address(), Tables: []ledgerTable{}}
	if v.Schema, err = reader.Schema(ctx); err != nil {
		return err
	}
	if v.Bytes, err = reader.Bytes(ctx); err != nil {
		return err
	}
	sizes, err := reader.Sizes(ctx)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"TABLE", "ROWS"}}
	for _, t := range sizes {
		v.Tables = append(v.Tables, ledgerTable(t))
		l.rows = append(l.rows, []string{t.Name, strconv.FormatInt(t.Rows, 10)})
	}
	if l.data = v; a.format == formatTable {
		fmt.Fprintf(a.std.Out, "%s: %s, schema %d, %s\n\n", v.Dialect, v.Address, v.Schema, humanize.IBytes(uint64(max(v.Bytes, 0))))
	}
	return a.list(l)
}

func newLedgerMigrate(a *app) *cobra.Command {
	var to string
	var dry bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy the whole history into an empty PostgreSQL ledger",
		Long: `Copy everything that the SQLite ledger of the configuration has on record into an empty
PostgreSQL database, read it back and compare, and say what to change in the
configuration. The SQLite file is not changed. Nothing may run meanwhile: stop the
service first. Each table is copied whole or not at all; a copy that was interrupted goes
on when it is started again, and until it is complete nobody can use what is there as a
ledger. The way back is not offered.

--to is a URL, postgres://USER@HOST/DATABASE, without a password, which others could see
on the command line; or a reference as in the configuration, ${env:NAME} or ${file:PATH},
in single quotes for the shell, to a URL that has one.`,
		Example: "  upkeep ledger migrate --to '${env:UPKEEP_LEDGER}' --dry-run\n  upkeep ledger migrate --to '${file:/etc/upkeep/ledger.url}'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.migrateLedger(cmd.Context(), to, dry) },
	}
	cmd.Flags().StringVar(&to, "to", "", "the empty PostgreSQL ledger, a `URL` or a reference to one (required)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "look at both, and write nothing")
	return cmd
}

func (a *app) migrateLedger(ctx context.Context, to string, dry bool) error {
	target, err := a.copyTarget(to)
	if err != nil {
		return err
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	if cfg.Ledger.Dialect != "sqlite" {
		return jobs.WithHint(usagef("the ledger is on a PostgreSQL server already"), "only an SQLite ledger can be moved, and only to PostgreSQL")
	}
	o := service.LedgerOptions(cfg, version, a.log())
	show, done := a.copyProgress()
	began := time.Now()
	copied, err := ledger.Copy(ctx, ledger.CopyOptions{
		From: o.DSN, To: target, Node: cfg.Node, Command: "upkeep ledger migrate", DryRun: dry, Progress: show, Log: a.log(),
	})
	done()
	if err != nil {
		return a.explainCopy(err)
	}
	if dry {
		for _, t := range copied.Tables {
			fmt.Fprintf(a.std.Out, "%12s  %s\n", humanize.Comma(t.Rows), t.Name)
		}
		goesOn := ""
		if copied.Resumed {
			goesOn = ", going on with the copy that was interrupted"
		}
		fmt.Fprintf(a.std.Out, "would copy %s rows from %s to %s, schema %s%s\n", humanize.Comma(copied.Rows()), copied.From, copied.To, copied.Schema, goesOn)
		return nil
	}
	a.tellCopied(cfg, copied, to, time.Since(began))
	return nil
}

// reference is what the configuration writes in place of a value.
var reference = regexp.MustCompile(`^\$\{(env|file):([^}]+)\}$`)

// copyTarget reads what --to names.
func (a *app) copyTarget(to string) (secret.String, error) {
	if to == "" {
		return secret.String{}, jobs.WithHint(usagef("--to is missing"), "name an empty PostgreSQL database: --to '${env:UPKEEP_LEDGER}'")
	}
	if m := reference.FindStringSubmatch(to); m != nil {
		return a.referred(m[1], m[2])
	}
	u, err := secret.ParseURL(to)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return secret.String{}, jobs.WithHint(usagef("--to is no PostgreSQL URL"), "write postgres://USER@HOST/DATABASE, or a reference such as '${env:UPKEEP_LEDGER}'")
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return secret.String{}, jobs.WithHint(&jobs.RefusedError{Rail: "argv", Why: "--to holds a password, which others on this machine can read while the command runs"},
			"put the URL into a variable or a file, and name that: --to '${env:NAME}' or --to '${file:PATH}'")
	}
	return secret.New(to), nil
}

// referred reads a variable or a file.
func (a *app) referred(kind, name string) (secret.String, error) {
	if kind == "env" {
		text, ok := a.getenv(name)
		if !ok || text == "" {
			return secret.String{}, usagef("--to: the environment has no %s", name)
		}
		return secret.New(text), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return secret.String{}, usagef("--to: %v", err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, mostToken))
	if err != nil {
		return secret.String{}, usagef("--to: %v", err)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}

// copyProgress shows on a terminal how far a copy is.
func (a *app) copyProgress() (show func(ledger.CopyProgress), done func()) {
	if !isTerminal(a.std.Err) || a.dumb() {
		return nil, func() {}
	}
	const erase = "\r\x1b[K"
	words := map[string]string{ledger.CopyRead: "comparing", ledger.CopyWrite: "copying", ledger.CopyVerify: "reading back"}
	return func(p ledger.CopyProgress) {
		share := ""
		if p.Total > 0 {
			share = fmt.Sprintf(" (%d %%)", 100*p.Rows/p.Total)
		}
		fmt.Fprintf(a.std.Err, "%s%s %s: %s of %s rows%s", erase, words[p.Step], p.Table, humanize.Comma(p.Rows), humanize.Comma(p.Total), share)
	}, func() { fmt.Fprint(a.std.Err, erase) }
}

// explainCopy adds what to do to what keeps a ledger from being copied.
func (a *app) explainCopy(err error) error {
	if locked, is := errors.AsType[*ledger.LockedError](err); is && strings.HasSuffix(locked.Holder.Command, " serve") {
		return jobs.WithHint(err, "stop the service first: nothing may run while the ledger is copied")
	}
	if errors.Is(err, ledger.ErrMissing) {
		return notFoundf("there is nothing to move: write the new address into the configuration", "%v", err)
	}
	return err
}

// tellCopied says what was done, and what to do next.
func (a *app) tellCopied(cfg *configs.Config, c ledger.Copied, to string, took time.Duration) {
	kept := 0
	for _, t := range c.Tables {
		if t.Kept {
			kept++
		}
	}
	goneOn := ""
	if c.Resumed {
		goneOn = fmt.Sprintf(" (%s from the copy that was interrupted)", count(kept, "table"))
	}
	fmt.Fprintf(a.std.Out, "copied %s rows in %s%s from %s to %s, schema %s; read back and compared, in %s\n",
		humanize.Comma(c.Rows()), count(len(c.Tables), "table"), goneOn, c.From, c.To, c.Schema, unit.Took(took))
	if c.Repaired > 0 {
		fmt.Fprintf(a.std.Err, "warning: %s had bytes that are no text; they became the replacement character\n", count(int(c.Repaired), "text"))
	}
	fmt.Fprintf(a.std.Out, "\nNow write into %s\n\n  ledger: %q\n\nand start the service. %s stays as it is; move it away then, so that nobody goes on with it.\n", cfg.Path, to, c.From)
}
