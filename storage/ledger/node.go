package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// forgetNodes is how long a node that died stays on the list for people.
const forgetNodes = 24 * time.Hour

// clockResolution is what the clock of a database may lag behind: SQLite's
// counts milliseconds, so a lease may end by so much earlier than asked for.
const clockResolution = time.Millisecond

// Node is one instance that executes runs, or did until it died.
type Node struct {
	// Instance is its identity as an owner, Name the node's name.
	Instance, Name string
	// Host and PID are where it runs; Version and Command what runs there.
	Host             string
	PID              int
	Version, Command string
	Labels           []string
	// RegisteredAt is by the node's clock; LeaseUntil by the database's, zero
	// without a lease.
	RegisteredAt, LeaseUntil time.Time
	// Alive tells whether runs that it owns are being worked on.
	Alive bool
	// Member tells that it is the service of its node, and no command.
	Member bool
	// Facts are what it last said of itself.
	Facts NodeFacts

	process string
	// expired is for how long its lease has been over, by the database's clock.
	expired time.Duration
}

// nodeColumns are what scanNode reads, from nodes n; now is the database's clock.
func nodeColumns(d *dialect) string {
	return `n.instance, n.name, n.host, n.pid, n.process, n.version, n.command, n.labels, n.registered_at, n.lease_until,
		n.member, n.config, n.config_path, n.draining, n.web, ` + d.now
}

func scanNode(row scanner) (Node, error) {
	var n Node
	var labels string
	var registered, now int64
	var lease sql.NullInt64
	err := row.Scan(&n.Instance, &n.Name, &n.Host, &n.PID, &n.process, &n.Version, &n.Command, &labels, &registered, &lease,
		&n.Member, &n.Facts.Config, &n.Facts.Path, &n.Facts.Draining, &n.Facts.Web, &now)
	if err != nil {
		return n, err
	}
	n.RegisteredAt, n.LeaseUntil = time.UnixMicro(registered).UTC(), instant(lease)
	if err := unpack(labels, &n.Labels); err != nil {
		return n, fmt.Errorf("labels of node %s: %w", n.Name, err)
	}
	if lease.Valid {
		n.Alive, n.expired = lease.Int64 > now, time.Duration(now-lease.Int64)*time.Microsecond
	} else {
		// Only SQLite has instances without a lease.
		n.Alive = !provablyDead(n.Host, n.PID, n.process, true)
	}
	return n, nil
}

// isAlive tells whether the instance owner works on its runs.
func isAlive(ctx context.Context, s session, owner string) (bool, error) {
	n, err := readNode(ctx, s, owner)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return n.Alive, err
}

// readNode reads an instance; sql.ErrNoRows when it is not on the list.
func readNode(ctx context.Context, s session, instance string) (Node, error) {
	return scanNode(s.row(ctx, "SELECT "+nodeColumns(s.d)+" FROM nodes n WHERE n.instance = ?", instance))
}

// Nodes returns the instances on record, ordered by name and registration.
func (r *Reader) Nodes(ctx context.Context) ([]Node, error) {
	list, err := listNodes(ctx, r.reading())
	return list, r.explain(ctx, "list the nodes", err)
}

func listNodes(ctx context.Context, s session) ([]Node, error) {
	var list []Node
	err := s.each(ctx, "SELECT "+nodeColumns(s.d)+" FROM nodes n ORDER BY n.name, n.registered_at, n.instance", nil, func(rows *sql.Rows) error {
		n, err := scanNode(rows)
		list = append(list, n)
		return err
	})
	return list, err
}

// Register puts this instance on the list of nodes, so that it may claim runs,
// and takes those off that are certainly dead: with the lock file of an SQLite
// ledger all others, else those whose process on this host is gone. After
// ErrLeaseLost it registers under a new identity, because runs of the old one
// may have been taken over.
func (l *Ledger) Register(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the host's name: %w", err)
	}
	labels, err := pack(l.o.Labels)
	if err != nil {
		return fmt.Errorf("labels of the node: %w", err)
	}
	owner, former := l.nextOwner()
	if former != "" {
		l.sever()
	}
	facts, at, began := l.toAnnounce(), time.Now(), steadyTime()
	err = l.transact(ctx, "register node "+l.o.Node, func(ctx context.Context, s session) error {
		if err := l.removeDead(ctx, s, owner, former); err != nil {
			return err
		}
		if err := l.see(ctx, s); err != nil {
			return err
		}
		changed, err := s.exec(ctx, `INSERT INTO nodes (instance, name, host, pid, process, labels, version, command, registered_at, member,
				config, config_path, draining, web, lease_until)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, `+l.leaseEnd(s.d)+`) ON CONFLICT (instance) DO UPDATE SET lease_until = excluded.lease_until
			WHERE nodes.host = excluded.host AND nodes.pid = excluded.pid AND nodes.process = excluded.process`,
			owner, l.o.Node, host, os.Getpid(), processOf(os.Getpid()), labels,
			cleanLine(l.o.Version, maxShortText), cleanLine(l.o.Command, maxShortText), at.UnixMicro(), bit(l.o.Member),
			facts.Config, facts.Path, bit(facts.Draining), facts.Web)
		if err == nil && changed == 0 {
			err = fmt.Errorf("another process is registered as instance %s", owner)
		}
		if err == nil && former != "" {
			// What it was sending it still sends, unless another has taken that over.
			_, err = s.exec(ctx, "UPDATE notices SET owner = ? WHERE owner = ? AND state = 'sending'", owner, former)
		}
		s.ring(Bell{Kind: BellNodes})
		return err
	})
	if err != nil {
		return err
	}
	l.announced(facts, true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != owner {
		clear(l.claims)
	}
	l.owner, l.registered, l.lost, l.interrupted = owner, true, false, l.losses > 0
	l.renewed, l.held = began-clockResolution, began
	return nil
}

// nextOwner is the identity to register under, and the one that was lost before
// it, if any.
func (l *Ledger) nextOwner() (owner, former string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.losses == 0 {
		return l.o.Instance, ""
	}
	return fmt.Sprintf("%s.%d", l.o.Instance, l.losses), l.owner
}

// leaseEnd is the end of a lease that begins now, as an SQL expression.
func (l *Ledger) leaseEnd(d *dialect) string {
	if l.o.LeaseTTL == 0 {
		return "NULL"
	}
	return fmt.Sprintf("%s + %d", d.now, l.o.LeaseTTL.Microseconds())
}

// removeDead takes instances off the list that certainly work on nothing, former
// among them, which was this process.
func (l *Ledger) removeDead(ctx context.Context, s session, owner, former string) error {
	if l.lock.held() {
		_, err := s.exec(ctx, "DELETE FROM nodes WHERE instance <> ?", owner)
		return err
	}
	nodes, err := listNodes(ctx, s)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		gone := former != "" && n.Instance == former || provablyDead(n.Host, n.PID, n.process, s.d.local) || !n.Alive && time.Since(n.LeaseUntil) > forgetNodes
		if !gone {
			continue
		}
		if _, err := s.exec(ctx, "DELETE FROM nodes WHERE instance = ?", n.Instance); err != nil {
			return err
		}
	}
	return nil
}

// Leave takes this instance off the list of nodes. Open runs that it owns may
// be claimed by others from then on.
func (l *Ledger) Leave(ctx context.Context) error {
	l.mu.Lock()
	owner, registered := l.owner, l.registered
	l.registered = false
	l.mu.Unlock()
	if !registered {
		return nil
	}
	return l.transact(ctx, "leave the ledger", func(ctx context.Context, s session) error {
		if err := l.lastSeen(ctx, s); err != nil {
			return err
		}
		_, err := s.exec(ctx, "DELETE FROM nodes WHERE instance = ?", owner)
		s.ring(Bell{Kind: BellNodes})
		return err
	})
}
