package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// settleCluster is how long idle nodes are left alone first: they open their
// connections, prepare their statements and look once at all there is.
const settleCluster = 15 * time.Second

// clusters measures services that share a ledger on PostgreSQL.
type clusters struct {
	binary string
	parts  string
	idle   time.Duration
	light  time.Duration

	nodes, workflows []int
}

func (c *clusters) register() {
	flag.DurationVar(&c.idle, "cluster-idle", 20*time.Second, "how long idle nodes are watched")
	flag.DurationVar(&c.light, "cluster-light", 15*time.Second, "how long nodes with little to do are watched")
	flag.StringVar(&c.parts, "cluster-parts", "light,burst,idle", "which parts of the nodes are measured")
	c.nodes, c.workflows = []int{1, 2, 4, 8}, []int{100, 1000, 10_000}
	flag.Func("cluster-nodes", "only these numbers of nodes, such as 1,4 (default 1,2,4,8)", numbers(&c.nodes))
	flag.Func("cluster-workflows", "only these numbers of workflows (default 100,1000,10000)", numbers(&c.workflows))
}

// numbers reads a list of numbers that are at least 1, such as 1,4.
func numbers(list *[]int) func(text string) error {
	return func(text string) error {
		*list = nil
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number, or is less than 1", part)
			}
			*list = append(*list, n)
		}
		return nil
	}
}

// fleet is a number of services with a database of their own.
type fleet struct {
	dir      string
	url      string
	daemons  []*daemon
	admin    *pgx.Conn
	database string
}

// newFleet makes the database and starts the services.
func newFleet(ctx context.Context, binary string, nodes int, workflows string) (f *fleet, err error) {
	f = &fleet{database: fmt.Sprintf("upkeep_bench_%d", time.Now().UnixNano())}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.end(ctx))
		}
	}()
	if f.dir, err = os.MkdirTemp("", "upkeep-bench-"); err != nil {
		return f, err
	}
	server := os.Getenv("UPKEEP_TEST_POSTGRES_URL")
	if f.admin, err = pgx.Connect(ctx, server); err != nil {
		return f, fmt.Errorf("connect to the server of the benchmark: %w", err)
	}
	if _, err := f.admin.Exec(ctx, "CREATE DATABASE "+f.database); err != nil {
		return f, fmt.Errorf("make the database of the benchmark: %w", err)
	}
	u, err := url.Parse(server)
	if err != nil {
		return f, fmt.Errorf("read the address of the server: %w", err)
	}
	u.Path = "/" + f.database
	f.url = u.String()
	f.daemons = make([]*daemon, nodes)
	start := func(i int) error { //nolint:contextcheck // services live until end
		dir := filepath.Join(f.dir, fmt.Sprintf("n%02d", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		text := fmt.Sprintf("project: bench\nnode: n%02d\ntimezone: UTC\nledger: %q\nmax_running: 16\nballast: off\nweb: off\nworkflows:\n%s", i, f.url, workflows)
		if err := os.WriteFile(filepath.Join(dir, "upkeep.yaml"), []byte(text), 0o600); err != nil {
			return err
		}
		d, err := startDaemon(binary, dir)
		f.daemons[i] = d
		return err
	}
	// The first one makes the tables.
	if err := start(0); err != nil {
		return f, err
	}
	failures := make([]error, nodes)
	var starting sync.WaitGroup
	for i := 1; i < nodes; i++ {
		starting.Go(func() { failures[i] = start(i) })
	}
	starting.Wait()
	return f, errors.Join(failures...)
}

// end drains the services and drops the database.
func (f *fleet) end(ctx context.Context) error {
	var all error
	for _, d := range f.daemons {
		if d != nil {
			all = errors.Join(all, d.end())
		}
	}
	if f.admin != nil {
		_, err := f.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+f.database+" WITH (FORCE)")
		all = errors.Join(all, err, f.admin.Close(ctx))
	}
	return errors.Join(all, os.RemoveAll(f.dir))
}

// load is what a fleet has cost so far.
type load struct {
	at           time.Time
	transactions int64
	nodes        time.Duration // CPU of the services and their jobs
	backends     time.Duration // CPU of their sessions on the server
	connections  int
}

func (f *fleet) load(ctx context.Context) (l load, err error) {
	l.at = time.Now()
	const transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
	if err := f.admin.QueryRow(ctx, transactions, f.database).Scan(&l.transactions); err != nil {
		return l, fmt.Errorf("read what the database counts: %w", err)
	}
	rows, err := f.admin.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", f.database)
	if err != nil {
		return l, fmt.Errorf("read the sessions of the database: %w", err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return l, fmt.Errorf("read the sessions of the database: %w", err)
	}
	l.connections = len(pids)
	for _, pid := range pids {
		used, err := cpuOf(pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it has just ended
			return l, err
		}
		l.backends += used
	}
	for _, d := range f.daemons {
		used, err := d.cpu()
		if err != nil {
			return l, err
		}
		l.nodes += used
	}
	return l, nil
}

// connect opens a session for questions about runs.
func (f *fleet) connect(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, f.url) }

// manyWorkflows writes n workflows of one job.
func manyWorkflows(n int, schedule string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  w%05d: {schedule: {%s}, alert: {off: true}, jobs: {nothing: {kind: script, with: {run: [/bin/true]}}}}\n", i, schedule)
	}
	return b.String()
}

// benchCluster measures nodes that share a ledger.
func benchCluster(c clusters) error {
	ctx := context.Background()
	binary, err := filepath.Abs(c.binary)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, part := range []struct {
		name    string
		measure func(context.Context, string) error
	}{{"light", c.lightLoads}, {"burst", c.bursts}, {"idle", c.idles}} {
		if !slices.Contains(strings.Split(c.parts, ","), part.name) {
			continue
		}
		if err := part.measure(ctx, binary); err != nil {
			return err
		}
	}
	fmt.Printf("\nmeasured in %s\n", time.Since(began).Round(time.Second))
	return nil
}

func (c *clusters) lightLoads(ctx context.Context, binary string) error {
	fmt.Printf("\n## nodes with 20 workflows every second, left alone for %s, then watched for %s\n\n", settleFor, c.light)
	fmt.Println("| nodes | runs a second | from queued to running ms, p50 | p99 | max | from the slot to the job's start ms, p50 | p99 | transactions a second | a run |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, n := range c.nodes {
		if err := lightLoad(ctx, binary, n, c.light); err != nil {
			return err
		}
	}
	return nil
}

func (c *clusters) bursts(ctx context.Context, binary string) error {
	fmt.Print("\n## workflows of one /bin/true job due in the same second, max_running 16 on each node\n\n")
	fmt.Println("| nodes | workflows | start lag ms, p50 | p99 | max | last one ended after ms | runs a second | CPU ms a run, node and job | of the database's sessions | transactions a run | share of the busiest node |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	return c.each(func(nodes, workflows int) error { return clusterBurst(ctx, binary, nodes, workflows) })
}

// each measures every number of nodes with every number of workflows.
func (c *clusters) each(measure func(nodes, workflows int) error) error {
	for _, workflows := range c.workflows {
		for _, nodes := range c.nodes {
			if err := measure(nodes, workflows); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *clusters) idles(ctx context.Context, binary string) error {
	fmt.Printf("\n## idle nodes, left alone for %s after the last one was ready, then watched for %s\n\n", settleCluster, c.idle)
	fmt.Println("| nodes | workflows | connections a node | transactions a second a node | CPU of the database's sessions a node | CPU of a node |")
	fmt.Println("|---|---|---|---|---|---|")
	return c.each(func(nodes, workflows int) error { return idleCluster(ctx, binary, nodes, workflows, c.idle) })
}
