package service

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// evidenceTime bounds a look at a unit.
const evidenceTime = 10 * time.Second

// keepEvidence writes the end of the unit's journal, which people look for
// after a restart, to the output. What cannot be had is no failure.
func (s *service) keepEvidence(ctx context.Context, env *jobs.Env, u target) {
	if s.options.Journal == 0 || env.DryRun() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, evidenceTime, errors.New("journalctl took too long"))
	defer cancel()
	said := &tail{}
	_, err := child.Run(ctx, child.Command{
		Argv: []string{"journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines=" + strconv.Itoa(s.options.Journal), "--unit=" + u.name},
		Dir:  env.Root, Env: append(env.Environ(), "LC_ALL=C"), Stdout: said, Stderr: said, Grace: env.KillGrace, Marks: env.Marks(),
	})
	if err != nil {
		env.Printf("the journal of %s cannot be read: %s", u.name, env.OneLine(err.Error()))
		return
	}
	env.Printf("the last lines of the journal of %s:", u.name)
	_, _ = env.Out.Write([]byte(env.Scrub(said.buf.String()))) // Out never fails
}
