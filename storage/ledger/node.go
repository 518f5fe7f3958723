package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ghosteam/upkeep/runner"
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
		n.Alive = lease.Int64 > now
	} else {
		// Only SQLite has instances without a lease.
		n.Alive = !provablyDead(n.Host, n.PID, n.process, true)
	}
	return n, nil
}

// isAlive tells whether the instance owner works on its runs.
func isAlive(ctx context.Context, s session, owner string) (bool, error) {
	n, err := scanNode(s.row(ctx, "SELECT "+nodeColumns(s.d)+" FROM nodes n WHERE n.instance = ?", owner))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return n.Alive, err
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
	owner, facts := l.nextOwner(), l.toAnnounce()
	began := time.Now()
	err = l.transact(ctx, "register node "+l.o.Node, func(ctx context.Context, s session) error {
		if err := l.removeDead(ctx, s, owner); err != nil {
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
			cleanLine(l.o.Version, maxShortText), cleanLine(l.o.Command, maxShortText), began.UnixMicro(), bit(l.o.Member),
			facts.Config, facts.Path, bit(facts.Draining), facts.Web)
		if err == nil && changed == 0 {
			err = fmt.Errorf("another process is registered as instance %s", owner)
		}
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
	l.owner, l.registered, l.renewed = owner, true, began.Add(-clockResolution)
	return nil
}

// nextOwner is the identity to register under.
func (l *Ledger) nextOwner() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.losses == 0 {
		return l.o.Instance
	}
	return fmt.Sprintf("%s.%d", l.o.Instance, l.losses)
}

// leaseEnd is the end of a lease that begins now, as an SQL expression.
func (l *Ledger) leaseEnd(d *dialect) string {
	if l.o.LeaseTTL == 0 {
		return "NULL"
	}
	return fmt.Sprintf("%s + %d", d.now, l.o.LeaseTTL.Microseconds())
}

// removeDead takes instances off the list that certainly work on nothing.
func (l *Ledger) removeDead(ctx context.Context, s session, owner string) error {
	if l.lock.held() {
		_, err := s.exec(ctx, "DELETE FROM nodes WHERE instance <> ?", owner)
		return err
	}
	nodes, err := listNodes(ctx, s)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		gone := provablyDead(n.Host, n.PID, n.process, s.d.local) || !n.Alive && time.Since(n.LeaseUntil) > forgetNodes
		if !gone {
			continue
		}
		if _, err := s.exec(ctx, "DELETE FROM nodes WHERE instance = ?", n.Instance); err != nil {
			return err
		}
	}
	return nil
}

// Heartbeat proves that this instance is alive, as often as HeartbeatEvery for
// the default lease. ErrLeaseLost means that it failed to do so for too long:
// others may take over its runs, so it must end its jobs, and register again.
// Any other error means to try again at once. Without a lease Heartbeat only
// looks whether the lock file is still the one that it locked.
func (l *Ledger) Heartbeat(ctx context.Context) error {
	l.mu.Lock()
	owner, registered, renewed := l.owner, l.registered, l.renewed
	l.mu.Unlock()
	if !registered {
		return fmt.Errorf("renew the lease: %w", errNotRegistered)
	}
	if l.lock.held() {
		if err := l.lock.check(); err != nil {
			return l.loseLease(err)
		}
	}
	if l.o.LeaseTTL == 0 {
		return nil
	}
	began := time.Now()
	if began.Sub(renewed) >= l.o.LeaseTTL {
		return l.loseLease(fmt.Errorf("the last renewal was %s ago", began.Sub(renewed).Round(time.Millisecond)))
	}
	changed := int64(0)
	err := l.transact(ctx, "renew the lease of node "+l.o.Node, func(ctx context.Context, s session) error {
		var err error
		changed, err = s.exec(ctx, "UPDATE nodes SET lease_until = "+l.leaseEnd(s.d)+" WHERE instance = ? AND lease_until > "+s.d.now, owner)
		return err
	})
	if err != nil {
		return err
	}
	if changed == 0 {
		return l.loseLease(errors.New("the database says that it ended"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = began.Add(-clockResolution)
	return nil
}

func (l *Ledger) loseLease(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.registered {
		l.registered = false
		l.losses++
	}
	return fmt.Errorf("renew the lease of node %s: %w: %w", l.o.Node, runner.ErrLeaseLost, why)
}

// LeaseLeft returns how long this instance counts as alive without another
// Heartbeat, by the local clock; at most 0 when the lease is lost. Without a
// lease it returns a very long time.
func (l *Ledger) LeaseLeft() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.registered:
		return 0
	case l.o.LeaseTTL == 0:
		return 1<<63 - 1
	}
	return l.o.LeaseTTL - time.Since(l.renewed)
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
		return err
	})
}

// proveAlive returns the identity under which this instance may claim runs.
func (l *Ledger) proveAlive(ctx context.Context, s session) (string, error) {
	l.mu.Lock()
	owner, registered := l.owner, l.registered
	l.mu.Unlock()
	if !registered {
		return "", errNotRegistered
	}
	if l.o.LeaseTTL == 0 {
		return owner, nil
	}
	alive, err := isAlive(ctx, s, owner)
	if err == nil && !alive {
		err = runner.ErrLeaseLost
	}
	return owner, err
}
