package configs

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner/schedule"
)

const (
	defaultHeartbeatEvery  = time.Minute
	shortestHeartbeatEvery = 10 * time.Second
	longestHeartbeatEvery  = 24 * time.Hour
)

type heartbeatFile struct {
	URL   secret.String `yaml:"url" required:"true" doc:"The address that is asked, by GET; whoever keeps it alerts when nobody asks any more." example:"\"${env:HC_URL}\""`
	Every unit.Duration `yaml:"every" doc:"How often, from 10s to 24h; 1m by default." example:"1m"`
}

type digestFile struct {
	Weekly string     `yaml:"weekly" required:"true" doc:"The day of the week and the time at which the digest of the week is sent." example:"\"mon 08:00\""`
	To     unit.Names `yaml:"to" required:"true" doc:"The channels that get it." example:"[ops]"`
}

// Heartbeat says whom the service tells that it is well, for as long as it is.
type Heartbeat struct {
	// URL is asked Every so often; empty for nobody. It may hold a secret.
	URL   secret.String
	Every time.Duration
}

// WeeklyDigest is the digest of the week.
type WeeklyDigest struct {
	Schedule schedule.Schedule
	// To are the channels that get it; none means that there is none.
	To []string
}

// vigil takes what the service says without being asked: the heartbeat and the
// digest of the week.
func (l *loader) vigil() {
	l.heartbeat()
	f := l.file.Digest
	e, given := l.node.Get("digest")
	if f == nil || !given || !sound(l.d, "digest") {
		return
	}
	addressees(l.d, e.Value, "to", f.To, l.w.channels.Names(), "digest", e.At)
	compiled, err := schedule.Parse(schedule.Rule{Weekly: f.Weekly, Zone: l.config.Timezone})
	if err != nil {
		hint := ""
		if wrong, ok := errors.AsType[*schedule.ParseError](err); ok {
			hint = wrong.Hint
		}
		l.d.Report(at(e.Value, "weekly", e.At), "schedule", "digest.weekly", err.Error(), hint)
		return
	}
	l.config.Weekly = WeeklyDigest{Schedule: compiled, To: l.used(f.To)}
}

func (l *loader) heartbeat() {
	f := l.file.Heartbeat
	e, given := l.node.Get("heartbeat")
	if f == nil || !given || !sound(l.d, "heartbeat") {
		return
	}
	every := f.Every.Std()
	if every == 0 {
		every = defaultHeartbeatEvery
	}
	if every < shortestHeartbeatEvery || every > longestHeartbeatEvery {
		l.d.Report(at(e.Value, "every", e.At), "bad-value", "heartbeat.every", fmt.Sprintf("%s is not between 10s and 24h", unit.Duration(every)), "")
	}
	if text := f.URL.Reveal(); text != "" {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			l.d.Report(at(e.Value, "url", e.At), "bad-value", "heartbeat.url", "it is not the address of a web server", "write http:// or https:// and the rest")
		}
	}
	l.config.Heartbeat = Heartbeat{URL: f.URL, Every: every}
}
