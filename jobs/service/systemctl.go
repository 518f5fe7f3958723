package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// mostSaid bounds what is read of a program.
const mostSaid = 256 << 10

// systemctl is systemd through its program.
type systemctl struct {
	env  *jobs.Env
	argv []string
}

var _ control = (*systemctl)(nil)

// Name implements control.
func (s *systemctl) Name() string { return s.argv[len(s.argv)-1] }

// Close implements control.
func (s *systemctl) Close() {}

// tail keeps the end of what is written.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n, _ := t.buf.Write(p) // never fails
	if over := t.buf.Len() - mostSaid; over > 0 {
		t.buf.Next(over)
	}
	return n, nil
}

func (s *systemctl) run(ctx context.Context, args ...string) (string, error) {
	out, said := &tail{}, &tail{}
	cmd := child.Command{
		Argv: slices.Concat(s.argv, []string{"--no-ask-password", "--no-pager"}, args), Dir: s.env.Root,
		Env: append(s.env.Environ(), "LC_ALL=C"), Stdout: out, Stderr: said, Grace: s.env.KillGrace,
	}
	if s.env.RunID != "" { // a check before any run has no marks
		cmd.Marks = s.env.Marks()
	}
	_, err := child.Run(ctx, cmd)
	if err != nil {
		line := s.env.OneLine(lastLine(s.env.Scrub(said.buf.String())))
		if line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
		if strings.Contains(line, "authentication required") || strings.Contains(line, "Access denied") || strings.Contains(line, "password is required") {
			err = jobs.WithHint(err, rights)
		}
		if strings.Contains(line, "Failed to connect to bus") || strings.Contains(line, "not been booted with systemd") {
			err = jobs.WithHint(err, needsSystemd)
		}
	}
	return out.buf.String(), err
}

// properties are what State asks for.
const properties = "Id,LoadState,ActiveState,SubState,Type,Result,NRestarts,MainPID,MemoryCurrent,InvocationID,CanReload,RequiredBy,BoundBy,ConsistsOf"

// State implements control.
func (s *systemctl) State(ctx context.Context, unit string) (state, error) {
	out, err := s.run(ctx, "show", "--property="+properties, "--", unit)
	if err != nil {
		return state{}, fmt.Errorf("ask systemd about %s: %w", unit, err)
	}
	return readShow(out)
}

// readShow reads lines of NAME=VALUE as `systemctl show` writes them.
func readShow(out string) (state, error) {
	p, dependents := map[string]string{}, []string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		p[name] = word(value)
		if slices.Contains([]string{"RequiredBy", "BoundBy", "ConsistsOf"}, name) {
			dependents = append(dependents, strings.Fields(value)...)
		}
	}
	count := func(name string) uint64 {
		n, err := strconv.ParseUint(p[name], 10, 64)
		if err != nil || n == 1<<64-1 { // [not set]
			return 0
		}
		return n
	}
	return state{
		ID: p["Id"], Load: p["LoadState"], Active: p["ActiveState"], Sub: p["SubState"], Type: p["Type"], Result: p["Result"],
		Restarts: count("NRestarts"), PID: count("MainPID"), Memory: count("MemoryCurrent"), Invocation: p["InvocationID"],
		CanReload: p["CanReload"] == "yes", Dependents: dependents,
	}.sane()
}

// Do implements control. systemctl waits for systemd's job and ends with a code
// other than 0 when that did not end in done, without saying more.
func (s *systemctl) Do(ctx context.Context, v verb, unit string) (string, error) {
	_, err := s.run(ctx, string(v), "--", unit)
	switch exit, ok := errors.AsType[*child.ExitError](err); {
	case err == nil:
		return done, nil
	case ok && exit.Code == 1 && jobs.HintOf(err) == "":
		s.env.Printf("%s", s.env.OneLine(err.Error()))
		return failedState, nil
	}
	return "", fmt.Errorf("%s %s: %w", v, unit, err)
}

// Post implements control.
func (s *systemctl) Post(ctx context.Context, v verb, unit string) error {
	if _, err := s.run(ctx, "--no-block", string(v), "--", unit); err != nil {
		return fmt.Errorf("%s %s: %w", v, unit, err)
	}
	return nil
}

// lastLine is the last line that says something.
func lastLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return last
}
