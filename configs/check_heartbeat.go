package configs

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
)

// heartbeatOptions are the options of checks that are told.
type heartbeatOptions struct {
	Grace unit.Duration `yaml:"grace" doc:"How late a ping may be, and how long what said that it begins may take; by default 1h, or every when that is less." example:"2h"`
	Slug  string        `yaml:"slug" doc:"The end of the address at which it is told, /ping/SLUG; by default its name." example:"nightly-7f3a"`
	// Public needs a slug that nobody guesses.
	Public bool `yaml:"public" doc:"Whether whoever knows the address may tell it, without a token; the slug must then be a secret of 20 characters or more."`
}

// shortestSecretSlug is how long a slug must be that stands for an identity,
// fewestSecretSlug how many different characters it must have.
const (
	shortestSecretSlug = 20
	fewestSecretSlug   = 8
)

// slugPattern is what fits into an address as it is.
var slugPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// Validate looks at the slug.
func (o *heartbeatOptions) Validate() error {
	var errs []error
	if o.Slug != "" && !slugPattern.MatchString(o.Slug) {
		errs = append(errs, &jobs.FieldError{Field: "slug", Why: fmt.Sprintf("%q cannot stand in an address", o.Slug), Hint: "use letters, digits, _, . and -, at most 100 of them"})
	}
	if o.Public && !secretSlug(o.Slug) {
		errs = append(errs, &jobs.FieldError{Field: "slug", Why: "whoever guesses it could tell the heartbeat", Hint: "a public heartbeat needs a secret slug of 20 random characters or more: `openssl rand -hex 12`"})
	}
	if o.Grace < 0 {
		errs = append(errs, jobs.Fieldf("grace", "it must not be below 0"))
	}
	return errors.Join(errs...)
}

// secretSlug tells whether nobody guesses a slug.
func secretSlug(slug string) bool {
	seen := map[rune]bool{}
	for _, c := range slug {
		seen[c] = true
	}
	return len(slug) >= shortestSecretSlug && len(seen) >= fewestSecretSlug
}

// heartbeatKind describes heartbeats as if they were a kind of probe, so that
// their options are read, checked and documented like all others.
func heartbeatKind() jobs.Kind {
	return jobs.Define(health.KindHeartbeat, "Waits to be told that something elsewhere is well.", heartbeatOptions{},
		func(heartbeatOptions, jobs.Deps) (jobs.Job, error) { return told{}, nil }).AsProbe()
}

// told stands where a probe would.
type told struct{}

// Run cannot ask anybody.
func (told) Run(context.Context, *jobs.Env) (jobs.Result, error) {
	return jobs.Result{}, errors.New("a heartbeat is told, not asked")
}

// errTold says that a check cannot be asked.
func errTold(name string) error {
	return jobs.WithHint(fmt.Errorf("check %q is a heartbeat: it is told, not asked", name), "name a check that has a probe")
}
