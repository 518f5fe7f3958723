package redisping

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// info is what a server says of itself, by field
// (redis.io/docs/latest/commands/info).
type info map[string]string

// number returns a field that is a number; ok is false when the server does not
// say it.
func (i info) number(field string) (n float64, ok bool) {
	n, err := strconv.ParseFloat(i[field], 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

func (i info) count(field string) int64 {
	n, err := strconv.ParseInt(i[field], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// or returns a field as a word of foreign text, or instead when it is not there.
func (i info) or(field, instead string) string { return jobs.OneLine(cmp.Or(i[field], instead)) }

// role is what the server is, in our words.
func (s *survey) role() string {
	switch s.info["role"] {
	case "master":
		return primary
	case "slave":
		return replica
	}
	return s.info.or("role", "of an unknown role")
}

// judge judges what needs no earlier probe.
func (s *survey) judge() {
	s.report.Latency(s.ping, s.options.Latency, "")
	s.connecting()
	s.report.Outputs["version"], s.report.Outputs["role"] = s.info.or("redis_version", "unknown"), s.role()
	for value, field := range map[string]string{
		"uptime_seconds": "uptime_in_seconds", "clients": "connected_clients", "max_clients": "maxclients", "blocked_clients": "blocked_clients",
		"used_memory_bytes": "used_memory", "max_memory_bytes": "maxmemory", "rss_bytes": "used_memory_rss", "fragmentation_ratio": "mem_fragmentation_ratio",
		"unsaved_changes": "rdb_changes_since_last_save",
	} {
		if n, ok := s.info.number(field); ok {
			s.report.Values[value] = n
		}
	}
	s.memory()
	s.clients()
	s.persistence()
	s.replication()
}

// connecting judges the way to the first answer.
func (s *survey) connecting() {
	took, l := s.clock.Total(), s.options.Connect
	severity, limit := jobs.Severity(""), unit.Duration(0)
	switch {
	case l.Crit > 0 && took > l.Crit.Std():
		severity, limit = jobs.Critical, l.Crit
	case l.Warn > 0 && took > l.Warn.Std():
		severity, limit = jobs.Warning, l.Warn
	default:
		return
	}
	s.report.Add("redisping:connect", severity, "connecting took %s, most of it for %s; limit %s", reach.Short(took), reach.Slowest(s.clock), limit)
}

// evicts tells whether the server throws keys away when it is full.
func (s *survey) evicts() bool {
	policy := s.info["maxmemory_policy"]
	return policy != "" && policy != "noeviction"
}

// memory judges how full the server is.
func (s *survey) memory() {
	used, ok := s.info.number("used_memory")
	most, okMost := s.info.number("maxmemory")
	if !ok || !okMost {
		s.report.Unseen("memory", jobs.Warning, "the server does not say how much memory it uses")
		return
	}
	what := "maxmemory"
	if most == 0 {
		if rss, ok := s.info.number("used_memory_rss"); ok {
			used = rss
		}
		what = "its machine's memory, because it has no maxmemory"
		if most, ok = s.info.number("total_system_memory"); !ok || most == 0 {
			return
		}
	}
	percent := math.Round(used/most*10000) / 100
	s.report.Values["memory_percent"] = percent
	if what == "maxmemory" && s.evicts() {
		return
	}
	s.share("memory", fmt.Sprintf("it uses %s, %.1f %% of %s (%s)", size(used), percent, what, size(most)), percent, s.options.Memory)
}

func size(bytes float64) string { return humanize.IBytes(uint64(max(0, min(bytes, 1<<62)))) }

func (s *survey) share(id, text string, percent float64, limits Shares) {
	switch {
	case percent > float64(limits.Crit) && limits.Crit < 100:
		s.report.Add("redisping:"+id, jobs.Critical, "%s, limit %s", text, limits.Crit)
	case percent > float64(limits.Warn) && limits.Warn < 100:
		s.report.Add("redisping:"+id, jobs.Warning, "%s, limit %s", text, limits.Warn)
	}
}

// clients judges how many clients there are.
func (s *survey) clients() {
	n, ok := s.info.number("connected_clients")
	most, okMost := s.info.number("maxclients")
	if !ok || !okMost || most <= 0 {
		s.report.Unseen("clients", jobs.Info, "the server does not say how many clients it allows")
		return
	}
	percent := math.Round(n/most*10000) / 100
	s.report.Values["clients_percent"] = percent
	s.share("clients", fmt.Sprintf("%.0f of %.0f clients are connected (%.1f %%)", n, most, percent), percent, s.options.Clients)
}

// persistence judges whether the server saves its data.
func (s *survey) persistence() {
	if at := s.info.count("rdb_last_save_time"); at > 0 {
		s.report.Values["saved_age_seconds"] = max(0, math.Round(time.Since(time.Unix(at, 0)).Seconds()))
	}
	var failed []string
	for _, f := range []struct{ field, what string }{
		{"rdb_last_bgsave_status", "the last snapshot (RDB)"},
		{"aof_last_write_status", "the last write to the log (AOF)"},
		{"aof_last_bgrewrite_status", "the last rewrite of the log (AOF)"},
	} {
		if status := s.info[f.field]; status != "" && status != "ok" {
			failed = append(failed, f.what)
		}
	}
	if len(failed) == 0 {
		return
	}
	severity := jobs.Critical
	if !s.options.Saves {
		severity = jobs.Warning
	}
	s.report.Add("redisping:persistence", severity, "%s failed; the server's log says why, and it may refuse writes", strings.Join(failed, " and "))
}

// replication judges the role and the link to the primary or to replicas.
func (s *survey) replication() {
	role := s.role()
	if want := s.options.Role; want != anyRole && role != want {
		s.report.Add("redisping:role", jobs.Critical, "the server is a %s, and must be a %s", role, want)
	}
	if role != replica {
		online, behind := s.replicas()
		s.report.Values["replicas_online"] = float64(online)
		if online > 0 {
			s.report.Values["replica_lag_bytes"] = float64(behind)
		}
		if online < s.options.Replicas {
			s.report.Add("redisping:replicas", jobs.Critical, "the primary has %d replicas that are online, and must have %d", online, s.options.Replicas)
		}
		return
	}
	if ago, ok := s.info.number("master_last_io_seconds_ago"); ok && ago >= 0 {
		s.report.Values["last_io_seconds"] = ago
	}
	if s.info["master_link_status"] == "up" {
		s.report.Values["link_down_seconds"] = 0
		return
	}
	text := "the replica is not connected to its primary"
	// Below 0 when it never was.
	if down, ok := s.info.number("master_link_down_since_seconds"); ok && down >= 0 {
		s.report.Values["link_down_seconds"] = down
		text += fmt.Sprintf(" since %s", time.Duration(min(down, 1e9)*float64(time.Second)).Round(time.Second))
	}
	if s.info["master_sync_in_progress"] == "1" {
		text += ", from which it copies everything"
	}
	s.report.Add("redisping:replication", jobs.Critical, "%s", text)
}

// replicas returns how many replicas are online, and how many bytes the slowest
// of them is behind. Each stands in a line such as
// slave0:ip=10.0.0.2,port=6379,state=online,offset=42,lag=1.
func (s *survey) replicas() (online int, behind int64) {
	for n := range s.info.count("connected_slaves") {
		fields := info{}
		for field := range strings.SplitSeq(s.info["slave"+strconv.FormatInt(n, 10)], ",") {
			name, value, _ := strings.Cut(field, "=")
			fields[name] = value
		}
		if fields["state"] == "online" {
			online++
			behind = max(behind, s.info.count("master_repl_offset")-fields.count("offset"))
		}
	}
	return online, behind
}

// counters are the numbers that only grow.
func (s *survey) counters(where string) counters {
	return counters{
		At: time.Now().UTC(), Where: where, Server: jobs.OneLine(s.info["run_id"]), Hits: s.info.count("keyspace_hits"), Misses: s.info.count("keyspace_misses"),
		Evicted: s.info.count("evicted_keys"), Rejected: s.info.count("rejected_connections"), Expired: s.info.count("expired_keys"),
	}
}

// compare judges what has happened since the probe before; ok tells that there
// was one.
func (s *survey) compare(now, before counters, ok bool) {
	if percent, lookups := hits(now); lookups > 0 {
		s.report.Values["hit_percent"] = percent
	}
	if !ok {
		return
	}
	if now.restarted(before) {
		up := time.Duration(s.info.count("uptime_in_seconds")) * time.Second
		s.report.Add("redisping:restarted", jobs.Info, "the server was restarted since the probe before and is up for %s", up)
	}
	delta, ok := now.since(before)
	if !ok {
		return
	}
	span := now.At.Sub(before.At)
	rate := math.Round(float64(delta.Evicted)/span.Minutes()*100) / 100
	s.report.Values["evicted"], s.report.Values["evicted_per_minute"], s.report.Values["rejected"] = float64(delta.Evicted), rate, float64(delta.Rejected)
	if delta.Rejected > 0 {
		s.report.Add("redisping:rejected", jobs.Warning, "%d connections were rejected since the probe before, because there were too many clients", delta.Rejected)
	}
	limits := s.options.Evictions
	text := fmt.Sprintf("%d keys were evicted since the probe before, %.6g per minute", delta.Evicted, rate)
	switch {
	case limits.Crit > 0 && rate > limits.Crit:
		s.report.Add("redisping:evictions", jobs.Critical, "%s, limit %g", text, limits.Crit)
	case limits.Warn > 0 && rate > limits.Warn:
		s.report.Add("redisping:evictions", jobs.Warning, "%s, limit %g", text, limits.Warn)
	}
	s.cache(delta)
}

// hits returns the share of lookups that found something, in percent, and how
// many there were.
func hits(c counters) (percent float64, lookups int64) {
	lookups = c.Hits + c.Misses
	if lookups <= 0 {
		return 0, 0
	}
	return math.Round(float64(c.Hits)/float64(lookups)*10000) / 100, lookups
}

// cache judges the use as a cache, when there were enough lookups.
func (s *survey) cache(delta counters) {
	percent, lookups := hits(delta)
	s.report.Values["lookups"] = float64(lookups)
	if lookups == 0 {
		return
	}
	s.report.Values["hit_percent_recent"] = percent
	rules := s.options.Cache
	if lookups < int64(rules.MinLookups) || percent >= float64(rules.Advise) {
		return
	}
	severity := jobs.Info
	if percent < float64(rules.Warn) {
		severity = jobs.Warning
	}
	s.report.Add("redisping:cache", severity, "%.1f %% of %d lookups since the probe before found something: %s", percent, lookups, advice(delta))
}

// advice says what would make a cache hit more often, by why keys are gone.
func advice(delta counters) string {
	switch {
	case delta.Evicted > 0 && delta.Evicted >= delta.Expired:
		return "keys are evicted before they are used again, so that more maxmemory would help, or a policy of allkeys-lfu"
	case delta.Expired > 0 && delta.Expired*2 >= delta.Misses:
		return "keys expire before they are used again, so that a longer time to live would help"
	}
	return "most keys were never there, so that keys that hold what seldom repeats (a time, a random number, a version that changes) are the likely reason"
}
