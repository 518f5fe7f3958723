package packages

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// system is what the job needs of a package system. Its methods run programs
// of the host, end them when ctx ends unless they say otherwise, and change
// nothing unless they say so.
type system interface {
	// State returns the versions of all installed packages by name, and what
	// earlier installations left half done, a line each.
	State(ctx context.Context) (installed map[string]string, broken []string, err error)
	// Refresh brings the lists of what there is up to date. It changes the host.
	// Any list that could not be fetched makes it fail.
	Refresh(ctx context.Context) error
	// Preview tells what an upgrade would do: of everything for a nil only, else
	// of these packages to exactly these versions.
	Preview(ctx context.Context, only []change) (preview, error)
	// Command is the program that does s, without streams; it changes the host.
	// The caller runs it, because it may have to outlive this process.
	Command(s step, changes []change) child.Command
	// Explain makes of the error of a Command, and of what it said, one that
	// tells why. A nil error stays nil.
	Explain(err error, said string) error
	// Host tells facts about the host; of changes, also how much of them is
	// still to be downloaded.
	Host(ctx context.Context, changes []change) (host, error)
}

// step is a thing that a Command does.
type step string

const (
	stepDownload step = "download"
	stepInstall  step = "install"
	stepRepair   step = "repair"
	// stepMark marks packages as there because others need them.
	stepMark step = "mark"
)

// host is what a package system knows about the host.
type host struct {
	// Root is the folder below which packages are installed, Downloads where
	// they are kept before that.
	Root, Downloads string
	// Own is the package that holds the program of upkeep, or empty.
	Own string
	// Held are the packages that an operator holds.
	Held []string
	// Auto are the packages that are there because others need them.
	Auto []string
	// Lists is when the lists of what there is changed last; zero without any.
	Lists time.Time
	// DownloadBytes is how much is still to be fetched.
	DownloadBytes int64
	// Reboot tells that the host wants one; For are the packages that do.
	Reboot bool
	For    []string
}

// change is one package that changes.
type change struct {
	// Name is the package, with :ARCHITECTURE when it is a foreign one.
	Name string `json:"name"`
	// Old is empty when the package is not installed yet.
	Old string `json:"old,omitempty"`
	New string `json:"new"`
	// Origins are LABEL:VERSION/SUITE of the repositories that have it.
	Origins []string `json:"origins,omitempty"`
}

func (c change) String() string {
	if c.Old == "" {
		return fmt.Sprintf("%s %s (new)", c.Name, c.New)
	}
	return fmt.Sprintf("%s %s to %s", c.Name, c.Old, c.New)
}

// deed is the change as an imperative.
func (c change) deed() string {
	if c.Old == "" {
		return "install " + c.String()
	}
	return "upgrade " + c.String()
}

// preview is what an upgrade would do.
type preview struct {
	Changes []change
	// Removed are packages that would go.
	Removed []string
	// KeptBack are packages of which there is a newer version that would not be
	// installed, and Withheld what would change with them as far as it is known.
	KeptBack []string
	Withheld []change
}

// plan is what the job decided to do.
type plan struct {
	preview
	// LeftOut are the changes that policy or a block keep out.
	LeftOut []change
	// Security counts the changes from a security origin.
	Security int
}

// name identifies the plan by all that it changes.
func (p *plan) name() string {
	sorted := slices.SortedFunc(slices.Values(p.Changes), func(a, b change) int { return cmp.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, c := range sorted {
		_, _ = fmt.Fprintf(h, "%s\x00%s\x00%s\x00", c.Name, c.Old, c.New) // never fails
	}
	return "packages-" + hex.EncodeToString(h.Sum(nil)[:12])
}

// without are the changes that are not among done, an installed state.
func without(changes []change, done map[string]string) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return done[c.Name] == c.New })
}

// within tells whether every change of p is one of those allowed, and nothing
// is removed.
func (p *preview) within(allowed []change) bool {
	for _, c := range p.Changes {
		if !slices.ContainsFunc(allowed, func(a change) bool { return a.Name == c.Name && a.New == c.New }) {
			return false
		}
	}
	return len(p.Removed) == 0
}
