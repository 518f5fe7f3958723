// Package redisping is the probe of a Redis server: whether it answers and how
// fast, whether it has memory and clients left, saves its data, follows its
// primary, and is of use as a cache. It reads, and changes nothing.
package redisping

import (
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/internal/redis"
)

const doc = `Pings a Redis server and judges its answer, memory, clients, persistence, replication and use as a cache.

The median of three PINGs over one connection is judged against ` + "`latency`" + `, and the
time from looking up the name to the first answer against ` + "`connect`" + `.

` + "`memory`" + ` is judged against maxmemory when nothing may be evicted, because then writes
fail when it is reached; a cache that evicts is full by its nature. Without
maxmemory, what the server occupies is judged against the memory of its machine.

Evictions, rejected connections and lookups are counted since the probe before: a
job finds it in its history, a check remembers it while upkeep runs. A restart of
the server, or a reset of its counters, begins anew. With fewer than
` + "`cache.min_lookups`" + ` lookups in that time nothing is said about the cache; below
` + "`cache.advise`" + ` hits a finding says what would help.

As a check, a server that does not answer is critical. As a job, give it
` + "`fail_on: critical`" + ` when the run shall fail then.

Findings: redisping:KIND when the server could not be asked, where KIND is dns,
tcp, tls, timeout, auth, loading (it reads its data), too_many (it has as many
clients as it allows) or server (anything else that it says); redisping:latency,
redisping:connect, redisping:memory, redisping:clients, redisping:evictions,
redisping:rejected, redisping:persistence, redisping:role, redisping:replication,
redisping:replicas, redisping:restarted, redisping:cache, unseen:WHAT. Outputs:
error_kind, version, role, counters (for the run after).

Values: total_seconds (the median PING), dns_seconds, connect_seconds,
tls_seconds, auth_seconds, uptime_seconds, clients, max_clients, clients_percent,
blocked_clients, used_memory_bytes, max_memory_bytes, rss_bytes, memory_percent,
fragmentation_ratio, hit_percent (since the server's start),
hit_percent_recent, lookups, evicted, evicted_per_minute, rejected (since the
probe before), unsaved_changes, saved_age_seconds, of a primary replicas_online,
replica_lag_bytes (of the slowest), and of a replica link_down_seconds,
last_io_seconds (since it heard of its primary).`

// Options configure the probe.
type Options struct {
	Database  string        `yaml:"database" required:"true" doc:"The server, one of those under databases, of the kind redis." example:"cache"`
	Timeout   unit.Duration `yaml:"timeout" doc:"The most time for everything."`
	Latency   reach.Latency `yaml:"latency" limits:"total_seconds" doc:"Limits of a PING."`
	Connect   reach.Latency `yaml:"connect" doc:"Limits of the time from looking up the name to the first answer."`
	Memory    Shares        `yaml:"memory" limits:"memory_percent" doc:"Limits of the memory in use."`
	Clients   Shares        `yaml:"clients" limits:"clients_percent" doc:"Limits of the clients, as a share of those that the server allows."`
	Evictions Rate          `yaml:"evictions" limits:"evicted_per_minute" doc:"Limits of the keys that were evicted since the probe before, per minute."`
	Role      string        `yaml:"role" enum:"any,primary,replica" doc:"What the server must be."`
	Replicas  int           `yaml:"min_replicas" doc:"A primary with fewer replicas is critical."`
	Saves     bool          `yaml:"persistence" doc:"Whether a failed save of the data is critical; false for a cache whose data may be lost."`
	Cache     Cache         `yaml:"cache" limits:"hit_percent_recent,below" doc:"How its use as a cache is judged."`
}

// Shares are two limits of a share.
type Shares struct {
	Warn unit.Share `yaml:"warn" doc:"More than this is a warning; 100% means no limit."`
	Crit unit.Share `yaml:"crit" doc:"More than this is critical; 100% means no limit."`
}

// Rate are two limits of a number per minute.
type Rate struct {
	Warn float64 `yaml:"warn" doc:"More than this is a warning; 0 means no limit." example:"100"`
	Crit float64 `yaml:"crit" doc:"More than this is critical; 0 means no limit." example:"10000"`
}

// Cache are the rules for lookups.
type Cache struct {
	MinLookups int        `yaml:"min_lookups" doc:"With fewer lookups since the probe before nothing is said."`
	Advise     unit.Share `yaml:"advise" doc:"Below this share of hits a finding gives advice; 0% means never."`
	Warn       unit.Share `yaml:"warn" doc:"Below this share of hits it is a warning; 0% means never."`
}

// The roles that a server may have to have.
const (
	anyRole = "any"
	primary = "primary"
	replica = "replica"
)

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{
		Timeout: unit.Duration(3 * time.Second),
		Latency: reach.Latency{Warn: unit.Duration(100 * time.Millisecond), Crit: unit.Duration(time.Second)},
		Connect: reach.Latency{Warn: unit.Duration(time.Second)},
		Memory:  Shares{Warn: 80, Crit: 95}, Clients: Shares{Warn: 80, Crit: 95},
		Role: anyRole, Saves: true, Cache: Cache{MinLookups: 1000, Advise: 80},
	}
	known := newMemory()
	return jobs.Define("redisping", doc, defaults, func(o Options, deps jobs.Deps) (jobs.Job, error) { return build(o, deps, known) }).AsProbe()
}

// Validate reports limits that contradict each other.
func (o *Options) Validate() error {
	errs := []error{o.Latency.Validate("latency", o.Timeout)}
	if o.Timeout > 0 {
		errs = append(errs, o.Connect.Validate("connect", o.Timeout))
	}
	for _, l := range []struct {
		name string
		Shares
	}{{"memory", o.Memory}, {"clients", o.Clients}} {
		if l.Warn > l.Crit {
			errs = append(errs, jobs.Fieldf(l.name+".warn", "%s is above crit, %s", l.Warn, l.Crit))
		}
	}
	switch {
	case o.Evictions.Warn < 0 || o.Evictions.Crit < 0:
		errs = append(errs, jobs.Fieldf("evictions", "a limit is negative"))
	case o.Evictions.Crit > 0 && o.Evictions.Warn > o.Evictions.Crit:
		errs = append(errs, jobs.Fieldf("evictions.warn", "%g is above crit, %g", o.Evictions.Warn, o.Evictions.Crit))
	}
	if o.Role != anyRole && o.Role != primary && o.Role != replica {
		errs = append(errs, jobs.Fieldf("role", "%q is none of any, primary and replica", o.Role))
	}
	if o.Replicas < 0 {
		errs = append(errs, jobs.Fieldf("min_replicas", "%d is negative", o.Replicas))
	}
	if o.Cache.MinLookups < 1 {
		errs = append(errs, jobs.Fieldf("cache.min_lookups", "%d is out of range: use 1 or more", o.Cache.MinLookups))
	}
	if o.Cache.Warn > o.Cache.Advise {
		errs = append(errs, jobs.Fieldf("cache.warn", "%s is above advise, %s", o.Cache.Warn, o.Cache.Advise))
	}
	return errors.Join(errs...)
}

func build(o Options, deps jobs.Deps, known *memory) (jobs.Job, error) {
	db, err := jobs.DatabaseOf(deps, jobs.Redis, o.Database)
	if err != nil {
		return nil, jobs.WithHint(jobs.Fieldf("database", "%s", err), jobs.HintOf(err))
	}
	address, err := redis.ParseAddress(db.URL)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", db.Name, err)
	}
	// A check has no history; it finds what it needs in the memory.
	history, err := deps.History("", "")
	if err != nil {
		history = nil
	}
	return &probe{options: o, name: db.Name, address: address, history: history, known: known}, nil
}
