// Package pgping is the probe of a PostgreSQL server: whether it lets us in and
// answers, how long each step of that takes, and whether it has connections
// left. It reads, and changes nothing.
package pgping

import (
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

const doc = `Connects to a PostgreSQL server, asks it a question, and judges how long that took and how full it is.

The time from looking up the server's name to the answer of SELECT 1 is judged
against ` + "`latency`" + `; a finding names the step that took most. Then the server is
asked, within the same ` + "`timeout`" + `, how many of its connections are in use, which
transaction has been idle for longest, and, when it is a standby, how far it is
behind. ` + "`role`" + ` tells which server this must be, so that a failover does not pass
unseen. ` + "`query`" + ` is a question of your own that must be answered by true; it runs in
a transaction that only reads.

The lag of a standby is the age of the last transaction that it replayed, and 0
while it has replayed all that its primary sent. Without the role pg_monitor the
states of other users' sessions are hidden, which a finding says.

As a check, a server that does not answer is critical. As a job, give it
` + "`fail_on: critical`" + ` when the run shall fail then.

Findings: pgping:KIND when the server could not be asked, where KIND is dns, tcp,
tls, timeout, auth (wrong user or password, or not permitted by pg_hba.conf),
database (it does not exist), too_many (no connection left), starting, stopping,
permission or server (anything else that the server says); pgping:latency,
pgping:connections, pgping:idle_in_transaction, pgping:role, pgping:read_only,
pgping:lag, pgping:receiver, pgping:paused, pgping:query, unseen:WHAT. Outputs:
error_kind, error_code (the SQLSTATE), version, server.

Values: total_seconds (what latency judges), dns_seconds, connect_seconds,
tls_seconds, auth_seconds, query_seconds, version_number (such as 150018),
standby, read_only, connections, max_connections (those open to everybody),
connections_percent, connections_active, connections_idle,
connections_idle_in_transaction, longest_idle_in_transaction_seconds,
longest_transaction_seconds, and of a standby lag_seconds, lag_bytes.`

// Options configure the probe.
type Options struct {
	Database    string        `yaml:"database" required:"true" doc:"The database, one of those under databases." example:"main"`
	Timeout     unit.Duration `yaml:"timeout" doc:"The most time for connecting and all questions together."`
	Latency     reach.Latency `yaml:"latency" limits:"total_seconds" doc:"Limits of the time from looking up the name to the first answer."`
	Connections Shares        `yaml:"connections" limits:"connections_percent" doc:"Limits of the connections in use, as a share of those open to everybody."`
	Idle        reach.Latency `yaml:"idle_in_transaction" limits:"longest_idle_in_transaction_seconds" doc:"Limits of how long a session may sit idle in a transaction, which keeps locks and dead rows."`
	Lag         reach.Latency `yaml:"lag" limits:"lag_seconds" doc:"Limits of how far a standby is behind."`
	Streaming   bool          `yaml:"streaming" doc:"A standby must be connected to its primary; false for one that replays an archive only."`
	Role        string        `yaml:"role" enum:"any,primary,standby" doc:"What the server must be; a primary must take writes too."`
	Query       string        `yaml:"query" doc:"One statement that must be answered by true. It can only read." example:"SELECT max(created_at) > now() - interval '1 hour' FROM predictions"`
}

// Shares are two limits of a share.
type Shares struct {
	Warn unit.Share `yaml:"warn" doc:"More than this is a warning; 100% means no limit."`
	Crit unit.Share `yaml:"crit" doc:"More than this is critical; 100% means no limit."`
}

// The roles that a server may have to have.
const (
	anyRole = "any"
	primary = "primary"
	standby = "standby"
)

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{
		Timeout:     unit.Duration(6 * time.Second),
		Latency:     reach.Latency{Warn: unit.Duration(time.Second), Crit: unit.Duration(5 * time.Second)},
		Connections: Shares{Warn: 80, Crit: 95},
		Idle:        reach.Latency{Warn: unit.Duration(15 * time.Minute)},
		Lag:         reach.Latency{Warn: unit.Duration(time.Minute), Crit: unit.Duration(10 * time.Minute)},
		Streaming:   true, Role: anyRole,
	}
	return jobs.Define("pgping", doc, defaults, build).AsProbe()
}

// Validate reports limits that contradict each other.
func (o *Options) Validate() error {
	errs := []error{o.Latency.Validate("latency", o.Timeout)}
	for _, l := range []struct {
		name string
		reach.Latency
	}{{"idle_in_transaction", o.Idle}, {"lag", o.Lag}} {
		if l.Warn > 0 && l.Crit > 0 && l.Warn > l.Crit {
			errs = append(errs, jobs.Fieldf(l.name+".warn", "%s is above crit, %s", l.Warn, l.Crit))
		}
	}
	if o.Connections.Warn > o.Connections.Crit {
		errs = append(errs, jobs.Fieldf("connections.warn", "%s is above crit, %s", o.Connections.Warn, o.Connections.Crit))
	}
	if o.Role != anyRole && o.Role != primary && o.Role != standby {
		errs = append(errs, jobs.Fieldf("role", "%q is none of any, primary and standby", o.Role))
	}
	return errors.Join(errs...)
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	db, err := jobs.DatabaseOf(deps, jobs.Postgres, o.Database)
	if err != nil {
		return nil, jobs.WithHint(jobs.Fieldf("database", "%s", err), jobs.HintOf(err))
	}
	address, err := pg.ParseAddress(db.URL)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", db.Name, err)
	}
	return &probe{options: o, name: db.Name, address: address}, nil
}
