// Package queuetest exercises a queue together with the ledger it delivers
// for and the executor, the way they are used: in several processes that are
// killed, stopped, drained and replaced. It knows no implementation; each
// gives itself as a Subject. Tests import it and nobody else.
package queuetest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue"
)

// Ledger is the whole ledger as the suite uses it.
type Ledger interface {
	runner.Ledger
	runner.Watcher
	runner.Backlog
	runner.Reader
}

// Setting says how a process joins a ledger.
type Setting struct {
	// Address is what Subject.Fresh returned.
	Address string
	// Node is the name of the node.
	Node string
	// Execute tells that the process executes runs. Where only one process may,
	// Open waits until it is this one.
	Execute bool
	// Slots is the most runs at once.
	Slots int
	// Lease, when not zero, is how long the process counts as alive after a
	// heartbeat, and several processes may execute at once.
	Lease time.Duration
	// Base is the parent of the handlers' contexts.
	Base context.Context
}

// Process is what one process has of a ledger.
type Process struct {
	Ledger Ledger
	// Queue is nil in processes that do not execute.
	Queue queue.Queue
	// Heartbeat renews the lease.
	Heartbeat func(context.Context) error
	// LiveDir is the executor's folder for live output.
	LiveDir string
	// Close leaves the ledger.
	Close func() error
}

// Subject is what the suite exercises.
type Subject struct {
	// Fresh returns the address of a ledger that nobody else uses.
	Fresh func(*testing.T) string
	// Open joins the ledger. It is called in many processes.
	Open func(context.Context, Setting) (*Process, error)
	// Contents returns everything that the ledger has stored, as it rests.
	Contents func(t *testing.T, address string) []byte
	// Several tells that several processes may execute at once, each handled run
	// being one process's.
	Several bool
}

// roleVariable tells a child process the file that holds its role.
const roleVariable = "UPKEEP_QUEUETEST_ROLE"

// Main runs the tests, or, in a process that the suite started, its role, and
// returns the exit code. The package that calls Exercise calls it from
// TestMain.
func Main(m *testing.M, s Subject) int {
	path, child := os.LookupEnv(roleVariable)
	if !child {
		return m.Run()
	}
	var r role
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil {
		err = r.play(s)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "queuetest: %s: %v\n", r.Node, err)
		return 1
	}
	return 0
}

// soakVariable makes the suite run longer.
const soakVariable = "UPKEEP_SOAK"

// scaled returns n, or more for a soak.
func scaled(n int) int {
	if os.Getenv(soakVariable) != "" {
		return 10 * n
	}
	return n
}

// Exercise runs the suite.
func Exercise(t *testing.T, s Subject) {
	t.Helper()
	type part struct {
		name string
		run  func(*testing.T, Subject)
	}
	parts := []part{
		{"Race", testRace},
		{"Crash", testCrash},
		{"Kills", testKills},
		{"Graphs", testGraphs},
		{"Zombie", testZombie},
		{"Cancel", testCancel},
		{"Drain", testDrain},
		{"Shutdown", testShutdown},
		{"NewerBinary", testNewerBinary},
		{"Secrets", testSecrets},
		{"Locks", testLocks},
		{"RestartInGoodOrder", testRestartInGoodOrder},
	}
	if !s.Several || os.Getenv(soakVariable) != "" {
		// It takes its time, and what is on record of it the suite of the ledger
		// proves for every database.
		parts = append(parts, part{"Restart", testRestart})
	}
	if s.Several {
		parts = append(parts, part{"Takeover", testTakeover})
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, s)
		})
	}
}
