package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Options say by which configuration to work, and who hears of it. Config is
// required.
type Options struct {
	Config *configs.Config
	// Version is that of upkeep.
	Version string
	// Trigger says why the work is done: manual by default.
	Trigger runner.Trigger
	// Ledger says how the jobs did; only what asks retention needs it.
	Ledger runner.Reader
	// Identities are the paths of files with age identities that decrypt.
	Identities []string
	// Own are the absolute paths of upkeep's own files, into which nothing is
	// restored.
	Own []string
	// OwnDatabase identifies the ledger's database on a PostgreSQL server, into
	// which nothing is restored (jobs.Env.OwnDatabase); empty for none.
	OwnDatabase string
	// Absolute refuses targets that are relative paths, for work that is done
	// far away from who asks for it.
	Absolute bool
	// Out takes lines for people: what is odd, and what programs say; nil for
	// nobody.
	Out io.Writer
	// Watch is told that an artifact is being read, with how much was so far and
	// how much there is, until stop is called; nil for nobody.
	Watch func(what string, read func() int64, total int64) (stop func())
	// Step is told each change of a restore before it is made; nil for nobody.
	Step func(what string)
	// Log is that of the process; nil for nobody.
	Log *slog.Logger
}

// Custodian works on the artifacts of one configuration. Each of its methods
// blocks until the work is done or ctx ends. They may be called from several
// goroutines, as far as Options.Out may.
type Custodian struct{ o Options }

// New makes a custodian.
func New(o Options) *Custodian {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trigger == "" {
		o.Trigger = runner.ByManual
	}
	if o.Watch == nil {
		o.Watch = func(string, func() int64, int64) func() { return func() {} }
	}
	return &Custodian{o: o}
}

// say writes a line for people. That nobody reads it any more is no reason to
// stop.
func (c *Custodian) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.o.Out, format+"\n", args...)
}

// env is the world of what a kind does with an artifact beside a run.
func (c *Custodian) env(a Artifact, dir string, h jobs.Hooks) *jobs.Env {
	cfg := c.o.Config
	h.Own, h.OwnDatabase = c.o.Own, c.o.OwnDatabase
	return jobs.NewEnv(jobs.Env{
		RunID: "cli-" + filepath.Base(dir), Workflow: a.Manifest.Workflow, Job: a.Manifest.Job, Attempt: 1, Trigger: string(c.o.Trigger),
		Slot: time.Now().UTC(), Node: cfg.Node, Version: c.o.Version, Zone: cfg.Timezone, Root: cfg.Root,
		WorkDir: dir, KillGrace: cfg.KillGrace, Log: c.o.Log, Out: c.o.Out,
	}, h)
}

// isOwn tells whether a path is one of upkeep's own files.
func (c *Custodian) isOwn(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && jobs.NewEnv(jobs.Env{}, jobs.Hooks{Own: c.o.Own}).IsOwn(uint64(stat.Dev), stat.Ino) //nolint:unconvert // not everywhere of that type
}

// scrubbed is an error of which the text holds no secret.
type scrubbed struct {
	err  error
	text string
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.err }

// Scrubber takes secrets out of the texts of errors.
func Scrubber(secrets []string) func(error) error {
	redactor := secret.NewRedactor(secrets)
	return func(err error) error {
		if err == nil {
			return nil
		}
		return &scrubbed{err: err, text: redactor.Scrub(err.Error())}
	}
}

// invalid is the mistake of who asks.
func invalid(format string, args ...any) error {
	return api.NewProblem(api.CodeInvalid, "", fmt.Sprintf(format, args...))
}

// notFound says that what was asked for is not there.
func notFound(hint, format string, args ...any) error {
	return api.NewProblem(api.CodeNotFound, hint, fmt.Sprintf(format, args...))
}

// unknownDatabase says what to do about a database that is not configured.
func unknownDatabase(err error, hint string) error {
	if unknown, ok := errors.AsType[*configs.UnknownError](err); ok {
		if said := jobs.HintOf(err); said != "" {
			hint = said
		}
		return api.NewProblem(api.CodeNotFound, hint, unknown.Error())
	}
	return err
}

// canceled returns why ctx has ended, or nil.
func canceled(ctx context.Context) error { return context.Cause(ctx) }
