package alerts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// defaultGroupWait is how long openings wait for others when they are not
	// alone, defaultFallbackAfter how long a critical fault waits for its
	// channel before another one is told.
	defaultGroupWait     = 20 * time.Second
	defaultFallbackAfter = 10 * time.Minute
	longestGroupWait     = 10 * time.Minute
	// mostRate and longestRate bound a rate.
	mostRate    = 10_000
	longestRate = 24 * time.Hour
)

// Rate is how many messages a channel takes within a time; the zero value
// means any number.
type Rate struct {
	Most   int
	Within time.Duration
}

// UnmarshalText reads the form "20/5m".
func (r *Rate) UnmarshalText(text []byte) error {
	count, within, found := strings.Cut(string(text), "/")
	most, err := strconv.Atoi(count)
	if !found || err != nil || most < 1 || most > mostRate {
		return fmt.Errorf("%q is not a rate: write COUNT/TIME such as 20/5m, with a count from 1 to %d", text, mostRate)
	}
	if within != "" && (within[0] < '0' || within[0] > '9') {
		within = "1" + within // 1/s
	}
	d, err := unit.ParseDuration(within)
	if err != nil {
		return fmt.Errorf("the time of the rate %q: %w", text, err)
	}
	if d < time.Second || d > longestRate {
		return fmt.Errorf("the time of the rate %q is not between 1s and 24h", text)
	}
	*r = Rate{Most: most, Within: d}
	return nil
}

// MarshalText writes the form that people write.
func (r Rate) MarshalText() ([]byte, error) {
	if r.Most == 0 {
		return nil, nil
	}
	return fmt.Appendf(nil, "%d/%s", r.Most, unit.Duration(r.Within)), nil
}

// Terms are the options that every channel has, whatever its kind.
type Terms struct {
	Enabled       bool          `yaml:"enabled" doc:"Whether the channel is used; one that is not is still checked, but needs no secrets, and its fallback is told in its place." example:"\"${env:SLACK_ENABLED:-false}\""`
	Fallback      string        `yaml:"fallback" doc:"The channel that is told instead when this one refuses a message for good, or cannot be reached for too long." example:"ops"`
	FallbackAfter unit.Duration `yaml:"fallback_after" doc:"How long a critical fault waits for this channel before the fallback is told too, from 1m; other faults wait a day."`
	Rate          Rate          `yaml:"rate" doc:"The most messages within a time. What exceeds it goes out as one digest or, to channels that keep a record of each incident, waits." example:"20/5m"`
	GroupWait     unit.Duration `yaml:"group_wait" doc:"How long beginnings of faults wait for others, to be told in one message, when they are not alone, up to 10m; 0s tells each by itself."`
	Send          unit.Names    `yaml:"send" enum:"open,worse,repeat,ack,resolve,remind,weekly" doc:"What the channel is told of: open, worse, repeat, ack, resolve, remind, weekly; by default everything." example:"[open, resolve]"`
	Template      string        `yaml:"template" doc:"What a message says, as a template (Go text/template); the first line is its title. docs/alerts.md lists the fields." example:"\"{{.Severity}} {{.Title}}\""`
}

// DefaultTerms returns the common options of a channel that sets none.
func DefaultTerms() Terms {
	return Terms{Enabled: true, FallbackAfter: unit.Duration(defaultFallbackAfter), GroupWait: unit.Duration(defaultGroupWait)}
}

// sendable are the actions that a channel may leave out.
func sendable() []runner.NoticeAction {
	return []runner.NoticeAction{
		runner.NoticeOpen, runner.NoticeWorse, runner.NoticeRepeat, runner.NoticeAck, runner.NoticeResolve, runner.NoticeRemind, runner.NoticeWeekly,
	}
}

// Settings are how a channel wants to be told, decided from its options.
type Settings struct {
	// Disabled tells that the channel is not used.
	Disabled bool
	// Changes tells that the channel keeps a record of deploys.
	Changes bool
	// Takes are the severities that the channel tells of; empty means all.
	Takes []jobs.Severity
	// Fallback is the channel that is told instead; empty for none. A critical
	// fault is told there too after FallbackAfter.
	Fallback      string
	FallbackAfter time.Duration
	Rate          Rate
	// GroupWait is how long openings wait that are not alone.
	GroupWait time.Duration
	// Send are the actions that the channel is told of; empty means all.
	Send []runner.NoticeAction
	// Template writes the messages; nil leaves that to the channel.
	Template *Template
	// Style is how the channel wants to be told of several things.
	Style Style
}

// Settings checks the options and makes the settings of a channel of them. The
// error is a *jobs.FieldError.
func (c Terms) Settings(channel Channel) (Settings, error) {
	s := Settings{
		Fallback: c.Fallback, FallbackAfter: c.FallbackAfter.Std(), Rate: c.Rate, GroupWait: c.GroupWait.Std(), Style: styleOf(channel),
		Disabled: !c.Enabled,
	}
	if chronicler, ok := channel.(Chronicler); ok {
		s.Changes = chronicler.Chronicles()
	}
	if picky, ok := channel.(Selective); ok {
		s.Takes = picky.Takes()
	}
	if s.FallbackAfter < time.Minute {
		return s, jobs.Fieldf("fallback_after", "%s is less than 1m", c.FallbackAfter)
	}
	if s.GroupWait < 0 || s.GroupWait > longestGroupWait {
		return s, jobs.Fieldf("group_wait", "%s is not between 0s and 10m", c.GroupWait)
	}
	for i, word := range c.Send {
		action := runner.NoticeAction(word)
		if !slices.Contains(sendable(), action) {
			return s, jobs.Fieldf(fmt.Sprintf("send[%d]", i), "%q is not something that a channel is told", word)
		}
		s.Send = append(s.Send, action)
	}
	if c.Template == "" {
		return s, nil
	}
	var err error
	if s.Template, err = ParseTemplate(c.Template); err != nil {
		return s, &jobs.FieldError{Field: "template", Why: err.Error(), Hint: "`upkeep alert preview` shows what it makes of a sample"}
	}
	return s, nil
}

// sends tells whether the channel is told of an action. A test and a digest
// always are.
func (s Settings) sends(action runner.NoticeAction) bool {
	return len(s.Send) == 0 || !slices.Contains(sendable(), action) || slices.Contains(s.Send, action)
}
