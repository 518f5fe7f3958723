package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Problem is one fault of a configuration: what, where and what to do about it.
type Problem = problem.Problem

// Problems is everything wrong with a configuration, in the order of files and
// lines. It is an error when at least one of it is, and renders itself with the
// lines and carets.
type Problems = problem.Problems

// Severity tells errors from warnings.
type Severity = problem.Severity

// The severities of problems.
const (
	Error   = problem.Error
	Warning = problem.Warning
)

// RuleUnset is the rule of problems about references that have no value here
// and now: variables that are not set, files that cannot be read. A
// configuration without other errors can still tell where its ledger is.
const RuleUnset = "unset"

// Catalog is what the loader does not know by itself: the kinds that exist and
// the world that references point into.
type Catalog struct {
	// Kinds are the kinds of jobs and probes.
	Kinds *jobs.Registry
	// Stores are the kinds of stores.
	Stores *object.Registry
	// Channels are the kinds of channels.
	Channels *alerts.Registry
	// Getenv looks up an environment variable, as os.LookupEnv does; nil means
	// that none is set.
	Getenv func(name string) (string, bool)
	// ReadFile reads a whole file, for the configuration and for ${file:…};
	// nil means ordinary files of this machine, up to the size that a
	// configuration may have.
	ReadFile func(path string) ([]byte, error)
	// Hostname names this machine when the configuration does not name the
	// node; nil means os.Hostname.
	Hostname func() (string, error)
}

func (c Catalog) withDefaults() Catalog {
	if c.Kinds == nil {
		c.Kinds = jobs.NewRegistry()
	}
	if c.Stores == nil {
		c.Stores = object.NewRegistry()
	}
	if c.Channels == nil {
		c.Channels = alerts.NewRegistry()
	}
	if c.ReadFile == nil {
		c.ReadFile = readOrdinary
	}
	if c.Hostname == nil {
		c.Hostname = os.Hostname
	}
	return c
}

// errNotOrdinary keeps pipes, devices and folders from being waited for.
var errNotOrdinary = errors.New("it is not an ordinary file")

// readOrdinary reads a file of at most one byte more than a configuration may
// have, so that a longer one is noticed without being read.
func readOrdinary(path string) (content []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotOrdinary
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err = io.ReadAll(io.LimitReader(f, source.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return content, nil
}

// reason says why a file could not be read, without its path.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}
