package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// upgrade replaces the program of one node after the other. Each drains first.
// The first time the new version changes the tables, while the others still work
// with them; afterwards two versions with the same tables take turns.
func (c *cluster) upgrade(t *testing.T, f *fault) {
	t.Helper()
	f.asked = time.Now()
	to, migrates := newVersion, c.nodes[0].program == c.programs[oldVersion]
	if c.nodes[0].program == c.programs[newVersion] {
		to = laterVersion
	}
	schema := c.schema(t)
	for i := range c.nodes {
		n := c.nodes[len(c.nodes)-1-i]
		before := n.starts(t)
		n.drain(t)
		if migrates && i > 0 {
			c.checkRefused(t, n, schema)
		}
		n.program = c.programs[to]
		n.start(t)
		n.awaitStart(t, before)
		if now := c.awaitLease(t, n); now.version != to {
			t.Errorf("%s says that it is version %s, want %s", n.name, now.version, to)
		}
		if migrates && i == 0 {
			if now := c.schema(t); now != schema+1 {
				t.Fatalf("the new version left the ledger with schema %d, want %d", now, schema+1)
			}
			c.checkGoesOn(t, c.nodes...)
		}
		c.checkVersions(t)
	}
	f.gone = time.Now()
}

// schema is the version of the ledger's tables.
func (c *cluster) schema(t *testing.T) (version int64) {
	t.Helper()
	c.database.query(t, func(ctx context.Context, db *pgx.Conn) error {
		return db.QueryRow(ctx, "SELECT MAX(version_id) FROM upkeep.schema_versions WHERE is_applied").Scan(&version)
	})
	return version
}

// checkRefused looks that a node whose program is older than the tables does not
// start, says why, and keeps nobody else from working. The node's service is not
// running.
func (c *cluster) checkRefused(t *testing.T, n *node, knows int64) {
	t.Helper()
	cmd := n.command("serve")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.machine.start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its exit code says it
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("%s: the old version serves a ledger of schema %d:\n%s", n.name, knows+1, out.String())
	}
	said := fmt.Sprintf("was written by a newer upkeep: it has schema %d, this program knows %d", knows+1, knows)
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(out.String(), said) || !strings.Contains(out.String(), "\nhint: use the newer upkeep") {
		t.Errorf("%s: the old version ended with exit code %d, want 1 and %q:\n%s", n.name, code, said, out.String())
	}
	c.checkGoesOn(t, slices.DeleteFunc(slices.Clone(c.nodes), func(o *node) bool { return o == n })...)
}

// checkGoesOn waits until each of the nodes has done a run that came to be after
// this moment.
func (c *cluster) checkGoesOn(t *testing.T, nodes ...*node) {
	t.Helper()
	var since time.Time
	c.database.query(t, func(ctx context.Context, db *pgx.Conn) error {
		return db.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&since)
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * glance) {
		done := rowsOf(t, c.database, `SELECT DISTINCT s.node FROM trail.step s
			WHERE s.job = '' AND s.state = 'succeeded' AND s.at > $1 AND EXISTS (SELECT 1 FROM trail.step b WHERE b.run = s.run AND b.job = '' AND b.was = '' AND b.at > $1)`,
			func(r pgx.Rows, name *string) error { return r.Scan(name) }, since)
		idle := slices.IndexFunc(nodes, func(n *node) bool { return !slices.Contains(done, n.name) })
		if idle < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has done nothing since %s, only %v have:\n%s", nodes[idle].name, since, done, nodes[idle].lastWords())
		}
	}
}

// member is a node as `upkeep nodes` tells of it.
type member struct{ Name, Version string }

// checkVersions asks on every node, with the program that it has, for the nodes
// and the runs.
func (c *cluster) checkVersions(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		var members []member
		if err := json.Unmarshal([]byte(n.upkeep(t, "nodes", "-o", "json")), &members); err != nil {
			t.Fatal(err)
		}
		for _, other := range c.nodes {
			want := ""
			for version, path := range c.programs {
				if path == other.program {
					want = version
				}
			}
			if !slices.Contains(members, member{other.name, want}) {
				t.Errorf("`upkeep nodes` on %s says %+v, and %s is of version %s", n.name, members, other.name, want)
			}
		}
		if list := n.upkeep(t, "history", "-n", "5"); strings.Count(list, "\n") < 5 {
			t.Errorf("`upkeep history` on %s says\n%s", n.name, list)
		}
	}
}
