package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// seenEvery is how often it is noted that a member is still there.
const seenEvery = time.Minute

// Member is a node that belongs to the system, whether it is there or not.
type Member struct {
	// Name is the node's name; Host and Version are where it last ran and what.
	Name, Host, Version string
	Labels              []string
	// FirstSeen and LastSeen are by the clock of the database. LastSeen is at
	// most about a minute old while the member has a lease; without leases it is
	// when the member last came or left.
	FirstSeen, LastSeen time.Time
	// Alive tells whether its service is there.
	Alive bool
}

// MemberAliveError reports that a node cannot be forgotten, because it is there.
type MemberAliveError struct {
	// Name is the node's, Host where it runs.
	Name, Host string
	PID        int
}

// Error names the node and its process.
func (e *MemberAliveError) Error() string {
	return fmt.Sprintf("the node %s is alive: process %d on %s", e.Name, e.PID, e.Host)
}

// Members returns the nodes that belong to the system, ordered by name.
func (r *Reader) Members(ctx context.Context) ([]Member, error) {
	const what = "list the members"
	nodes, err := listNodes(ctx, r.reading())
	if err != nil {
		return nil, r.explain(ctx, what, err)
	}
	var list []Member
	err = r.reading().each(ctx, "SELECT name, labels, host, version, first_seen, last_seen FROM members ORDER BY name", nil, func(rows *sql.Rows) error {
		m, err := scanMember(rows)
		m.Alive = slices.ContainsFunc(nodes, func(n Node) bool { return n.Member && n.Alive && n.Name == m.Name })
		list = append(list, m)
		return err
	})
	return list, r.explain(ctx, what, err)
}

func scanMember(row scanner) (Member, error) {
	var m Member
	var labels string
	var first, last int64
	if err := row.Scan(&m.Name, &labels, &m.Host, &m.Version, &first, &last); err != nil {
		return m, err
	}
	m.FirstSeen, m.LastSeen = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
	if err := unpack(labels, &m.Labels); err != nil {
		return m, fmt.Errorf("labels of member %s: %w", m.Name, err)
	}
	return m, nil
}

// see puts this instance's node on the list of members, or notes that it is
// still there. Only instances with Options.Member are members.
func (l *Ledger) see(ctx context.Context, s session) error {
	if !l.o.Member {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the host's name: %w", err)
	}
	labels, err := pack(l.o.Labels)
	if err != nil {
		return fmt.Errorf("labels of the node: %w", err)
	}
	if l.lock.held() {
		// Whoever holds the file is the only node there can be.
		if _, err := s.exec(ctx, "DELETE FROM members WHERE name <> ?", l.o.Node); err != nil {
			return err
		}
	}
	_, err = s.exec(ctx, "INSERT INTO members (name, labels, host, version, first_seen, last_seen) VALUES (?, ?, ?, ?, "+s.d.now+", "+s.d.now+`)
		ON CONFLICT (name) DO UPDATE SET labels = excluded.labels, host = excluded.host, version = excluded.version, last_seen = excluded.last_seen`,
		l.o.Node, labels, host, cleanLine(l.o.Version, maxShortText))
	return err
}

// lastSeen notes that the member goes.
func (l *Ledger) lastSeen(ctx context.Context, s session) error {
	if !l.o.Member {
		return nil
	}
	_, err := s.exec(ctx, "UPDATE members SET last_seen = "+s.d.now+" WHERE name = ?", l.o.Node)
	return err
}

// Forget takes a node whose service is not there off the lists of members and
// nodes, and resolves the incidents that only it could have ended. *MemberAliveError while it is there; runner.ErrNotFound when neither
// list has it.
func (l *Ledger) Forget(ctx context.Context, name string) error {
	return l.transact(ctx, "forget node "+name, func(ctx context.Context, s session) error {
		nodes, err := listNodes(ctx, s)
		if err != nil {
			return err
		}
		gone := int64(0)
		for _, n := range nodes {
			switch {
			case n.Name != name || n.Alive && !n.Member:
				continue
			case n.Alive:
				return jobs.WithHint(&MemberAliveError{Name: name, Host: n.Host, PID: n.PID}, "stop upkeep there first; a node that comes back is a member again")
			}
			changed, err := s.exec(ctx, "DELETE FROM nodes WHERE instance = ?", n.Instance)
			if err != nil {
				return err
			}
			gone += changed
		}
		changed, err := s.exec(ctx, "DELETE FROM members WHERE name = ?", name)
		if err == nil && gone+changed == 0 {
			err = runner.ErrNotFound
		}
		if err != nil {
			return err
		}
		return endIncidentsOf(ctx, s, name)
	})
}

// endIncidentsOf resolves what only the node could have found to be over: the
// faults of its shares and of its service. Those of checks end with the checks.
func endIncidentsOf(ctx context.Context, s session, node string) error {
	var list []string
	err := s.each(ctx, "SELECT fingerprint FROM incidents WHERE state = 'open' ORDER BY fingerprint", nil, func(rows *sql.Rows) error {
		var f string
		err := rows.Scan(&f)
		if (strings.HasPrefix(f, "workflow/") || strings.HasPrefix(f, "upkeep/")) && strings.HasSuffix(f, "@"+node) {
			list = append(list, f)
		}
		return err
	})
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	for _, f := range list {
		i, err := holdIncident(ctx, s, "i.fingerprint = ? AND i.state = 'open'", f)
		if err != nil {
			return err
		}
		at, r := now, new(record)
		if i.LastAt.After(at) {
			at = i.LastAt
		}
		if err := i.resolve(ctx, s, at, "the node "+node+" was forgotten", "", r); err != nil {
			return err
		}
		if err := r.write(ctx, s, now); err != nil {
			return err
		}
	}
	return nil
}

// Working returns how many runs each instance has under way, by instance.
func (r *Reader) Working(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := r.reading().each(ctx, "SELECT owner, COUNT(*) FROM runs WHERE state = ? GROUP BY owner", []any{runner.Running}, func(rows *sql.Rows) error {
		var owner string
		var n int
		err := rows.Scan(&owner, &n)
		counts[owner] = n
		return err
	})
	return counts, r.explain(ctx, "count what runs", err)
}
