package service_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	alertsall "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

const (
	// nodeVariable makes the test binary a service with the configuration that it
	// names; ledgerVariable holds the address of its ledger.
	nodeVariable   = "SERVICE_TEST_NODE"
	ledgerVariable = "SERVICE_TEST_LEDGER"
	// sweepVariable and absentVariable are SweepEvery and AbsentEvery of its options.
	sweepVariable  = "SERVICE_TEST_SWEEP"
	absentVariable = "SERVICE_TEST_ABSENT"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(nodeVariable); path != "" {
		if err := beNode(path); err != nil {
			fmt.Fprintln(os.Stderr, "ended:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func catalog() configs.Catalog {
	return configs.Catalog{
		Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Channels: alerts.NewRegistry(alertsall.Kinds()...), Getenv: os.LookupEnv,
	}
}

// beNode is `upkeep serve`.
func beNode(path string) error {
	cfg, err := configs.Load(path, catalog())
	if err != nil {
		return err
	}
	sweep, err := period(sweepVariable)
	if err != nil {
		return err
	}
	absent, err := period(absentVariable)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	return service.RunDaemon(context.Background(), service.DaemonOptions{
		Options: service.Options{
			Config: cfg, Version: "test", Command: "upkeep serve",
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		},
		Load:    func() (*configs.Config, error) { return configs.Load(path, catalog()) },
		Signals: signals, SweepEvery: sweep, AbsentEvery: absent,
	})
}

// period is what a variable of the environment says; 0 when it says nothing.
func period(variable string) (time.Duration, error) {
	text := os.Getenv(variable)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", variable, err)
	}
	return d, nil
}

// node is a service in a process of its own.
type node struct {
	t    *testing.T
	name string
	dir  string
	cmd  *exec.Cmd
	log  *diary
	// ended is closed when the process has.
	ended chan struct{}
	api   *client.Client
}

// diary is what a process logs.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// frame is the configuration of all nodes. A run of hang waits for the file go in
// its first attempt, for as long as it takes, and not in later ones; each
// attempt says in the trail that it began, and that it came to its end.
const frame = `project: test
node: %[1]s
timezone: UTC
ledger: "${env:` + ledgerVariable + `}"
web: off
ballast: off
` + usualLease + `kill_grace: 1s
drain_timeout: 100ms
workflows:
  hang:
    overlap: allow
    jobs:
      work:
        kind: script
        with:
          run: |
            echo "began $UPKEEP_ATTEMPT $$" >> %[2]s/trail
            while [ "$UPKEEP_ATTEMPT" = 1 ] && ! [ -e %[2]s/go ]; do sleep 0.1; done
            echo "ended $UPKEEP_ATTEMPT" >> %[2]s/trail
  leave:
    jobs:
      work:
        kind: script
        with:
          run: |
            [ "$UPKEEP_ATTEMPT" = 1 ] || exit 0
            sleep 1000 &
            echo "began 1 $!" >> %[2]s/trail
            wait
  fail:
    jobs: {work: {kind: script, with: {run: "exit 7"}}}
`

// usualLease makes nodes die soon.
const usualLease = "lease: {every: 1s, ttl: 5s}\n"

// twoNodes starts two services that share a ledger and a folder, and opens what
// is on record.
func twoNodes(t *testing.T) (a, b *node, r record, shared string) {
	t.Helper()
	dsn := ledgertest.Postgres(t)
	shared = t.TempDir()
	return startNode(t, dsn, "a", shared, ""), startNode(t, dsn, "b", shared, ""), openRecord(t, dsn), shared
}

// startNode starts a service that shares a ledger, and waits until it serves.
// shared is the folder that all nodes of a test see; more is added to the
// configuration, and environment to its variables, each as "name=value".
func startNode(t *testing.T, dsn secret.String, name, shared, more string, environment ...string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // a socket has room for a short path only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := frame + more
	if strings.HasPrefix(more, "lease:") {
		text = strings.Replace(frame, usualLease, "", 1) + more
	}
	return startNodeIn(t, dsn, name, shared, dir, text, environment...)
}

// startNodeIn starts a service with its own files in dir and text, in which the
// name of the node and the folder of all nodes are still to be filled in, as its
// configuration.
func startNodeIn(t *testing.T, dsn secret.String, name, shared, dir, text string, environment ...string) *node {
	t.Helper()
	path := filepath.Join(dir, "upkeep.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, text, name, shared), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, name: name, dir: dir, cmd: exec.Command(os.Args[0]), log: &diary{}, ended: make(chan struct{})}
	n.cmd.Env = append(append(os.Environ(), nodeVariable+"="+path, ledgerVariable+"="+dsn.Reveal()), environment...)
	n.cmd.Dir, n.cmd.Stderr, n.cmd.Stdout = dir, n.log, n.log
	n.api = client.New(client.Options{Socket: filepath.Join(dir, "var", "upkeep.sock"), By: "anna"})
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.ended)
		_ = n.cmd.Wait() // how it ends is asked for where that matters
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, n.log)
		}
	})
	n.logs("upkeep serves")
	return n
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// eventually waits for what must happen.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// logs waits for a line of the log.
func (n *node) logs(text string) {
	n.t.Helper()
	eventually(n.t, n.name+" logs "+text, func() bool {
		select {
		case <-n.ended:
			n.t.Fatalf("%s has ended", n.name)
		default:
		}
		return strings.Contains(n.log.String(), text)
	})
}

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("signal %s: %v", n.name, err)
	}
}

// starts has a workflow run.
func (n *node) starts(workflow string) runner.RunID {
	n.t.Helper()
	accepted, err := n.api.Start(n.t.Context(), api.RunRequest{Workflow: workflow, Trigger: runner.ByAPI, Alert: true})
	if err != nil {
		n.t.Fatalf("start %s on %s: %v", workflow, n.name, err)
	}
	return accepted.Run
}

// record is a ledger as a test reads it.
type record struct {
	*ledger.Ledger

	t *testing.T
}

func openRecord(t *testing.T, dsn secret.String) record {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: dsn, Node: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return record{l, t}
}

func (r record) run(id runner.RunID) runner.Run {
	r.t.Helper()
	run, err := r.Run(r.t.Context(), string(id))
	if err != nil {
		r.t.Fatal(err)
	}
	return run
}

// ends waits for the end of a run and returns it with its attempts, each as
// "state/reason".
func (r record) ends(id runner.RunID) (runner.Run, []string) {
	r.t.Helper()
	eventually(r.t, "the run ends", func() bool { return r.run(id).State.Final() })
	return r.run(id), r.attempts(id)
}

func (r record) attempts(id runner.RunID) (states []string) {
	r.t.Helper()
	list, err := r.Attempts(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range list {
		states = append(states, strings.TrimSuffix(string(a.State)+"/"+string(a.Reason), "/"))
	}
	return states
}

// owner waits until one of the nodes executes a run, and returns it and the
// others.
func (r record) owner(id runner.RunID, shared string, nodes ...*node) (owner *node, others []*node) {
	r.t.Helper()
	eventually(r.t, "the job begins", func() bool { return strings.Contains(trail(r.t, shared), "began 1") })
	name := r.run(id).Node
	for _, n := range nodes {
		if n.name == name {
			owner = n
		} else {
			others = append(others, n)
		}
	}
	if owner == nil {
		r.t.Fatalf("node %q executes the run", name)
	}
	return owner, others
}

// trail is what the jobs left.
func trail(t *testing.T, shared string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shared, "trail"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}
