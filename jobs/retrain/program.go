package retrain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// saidBytes bounds what is kept of a program's output for its last words.
const saidBytes = 16 << 10

// What a program must answer.
type demand int

const (
	exitOnly  demand = iota // exit code 0
	mayReport               // and a whole result file, if any
	mustReport
)

// program runs one of the user's programs. capped ones get the limits of the
// options; variables tell it what it is about. The result is nil without a file.
func (r *run) program(ctx context.Context, name string, argv unit.Command, capped bool, d demand, variables ...string) (_ *jobs.Result, err error) {
	folder, err := os.MkdirTemp(r.env.WorkDir, "answer-")
	if err != nil {
		return nil, fmt.Errorf("make the folder for the result of %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	said := &answer.Tail{Limit: saidBytes}
	out := io.MultiWriter(r.env.Out, said)
	cmd := child.Command{
		Argv: argv, Dir: r.dir(), Grace: r.env.KillGrace, Marks: r.env.Marks(), Stdout: out, Stderr: out,
		Env: slices.Concat(r.env.Environ(), answer.Variables(r.options.Env), []string{
			"UPKEEP_RESULT=" + filepath.Join(folder, answer.Name), "UPKEEP_MODEL=" + r.options.Model,
		}, variables),
	}
	if capped {
		cmd.Nice, cmd.Limits = r.options.Nice, r.options.Limits.Child()
	}
	if _, err := child.Run(ctx, cmd); err != nil {
		words := r.env.Scrub(said.String())
		if exit, ok := errors.AsType[*child.ExitError](err); ok {
			err = answer.Broke(r.env, err, exit.Code, words)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d == exitOnly {
		return nil, nil //nolint:nilnil // no result file was asked for
	}
	result, err := r.report(folder)
	switch {
	case d == mayReport && errors.Is(err, answer.ErrNotWritten):
		return nil, nil //nolint:nilnil // as documented
	case err != nil:
		return nil, jobs.WithHint(fmt.Errorf("%s ended well but its result file is no proof: %w", name, err),
			"it is the file that UPKEEP_RESULT names, as of a script with `result: json`; see `upkeep kinds script`")
	}
	return result, nil
}

func (r *run) report(folder string) (_ *jobs.Result, err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	text, err := answer.Read(dir)
	if err != nil {
		return nil, err
	}
	file, err := answer.Decode(text)
	if err != nil {
		return nil, err
	}
	result := file.Result(r.env)
	return &result, nil
}

// about are the variables that name a version.
func (r *run) about(version, folder string) []string {
	return []string{"UPKEEP_MODEL_VERSION=" + version, "UPKEEP_MODEL_DIR=" + folder}
}

func (r *run) dir() string { return r.workingDir(r.env) }

func (t *training) workingDir(env *jobs.Env) string {
	if t.options.Dir != "" {
		return string(t.options.Dir)
	}
	return env.Root
}

// display is a command line as people know it.
func display(env *jobs.Env, argv unit.Command) string {
	text := strings.Join(argv, " ")
	if argv.IsShell() {
		text = argv[2]
	}
	text = env.OneLine(text)
	if runes := []rune(text); len(runes) > longestCommand {
		text = string(runes[:longestCommand-1]) + "…"
	}
	return text
}

// longestCommand bounds a command line in texts, in characters.
const longestCommand = 160
