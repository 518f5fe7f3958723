package script

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const (
	// saidBytes and toldBytes bound what is kept of a program's output for the
	// summary; Env.Out gets all of it.
	saidBytes = 16 << 10
	toldBytes = 64 << 10
	// longestCommand bounds a command line in texts, in characters.
	longestCommand = 160
)

// program is the job.
type program struct {
	options Options
	// history is nil when no threshold looks back.
	history jobs.History
}

// Check makes sure that the program and the working directory exist.
func (p *program) Check(_ context.Context, env *jobs.Env) error {
	dir := p.dir(env)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err == nil {
			err = &fs.PathError{Op: "enter", Path: dir, Err: fs.ErrInvalid}
		}
		return jobs.WithHint(fmt.Errorf("working directory: %w", err), "correct `dir:` or create the directory")
	}
	if p.options.User != "" {
		if _, err := p.account(); err != nil {
			return err
		}
	}
	cmd := p.command(env)
	if _, err := child.LookPath(cmd.Argv[0], cmd.Env, cmd.Dir); err != nil {
		return jobs.WithHint(fmt.Errorf("find %s: %w", cmd.Argv[0], err), "install the program, write its full path, or set PATH under `env:`")
	}
	return nil
}

// account is the user that the program runs as.
func (p *program) account() (child.Account, error) {
	a, err := child.LookupUser(p.options.User)
	return a, jobs.WithHint(err, "create the user or correct `user:`")
}

func (p *program) dir(env *jobs.Env) string {
	if p.options.Dir != "" {
		return string(p.options.Dir)
	}
	return env.Root
}

// Run runs the program and judges its outcome.
func (p *program) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	var result jobs.Result
	what := "run " + p.display(env)
	err := env.Effect(ctx, what, func(ctx context.Context) error {
		var err error
		result, err = p.run(ctx, env)
		return err
	})
	if env.DryRun() && err == nil {
		result.Summary = "would " + what
	}
	return result, err
}

// display is the command line as people know it, cut to a readable length.
func (p *program) display(env *jobs.Env) string {
	text := strings.Join(p.options.Run, " ")
	if p.options.Run.IsShell() {
		text = p.options.Run[2]
	}
	text = env.OneLine(text)
	if runes := []rune(text); len(runes) > longestCommand {
		text = string(runes[:longestCommand-1]) + "…"
	}
	return text
}

func (p *program) run(ctx context.Context, env *jobs.Env) (_ jobs.Result, err error) {
	folder, err := p.makeResultFolder(env)
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() {
		if removed := folder.remove(); err == nil {
			err = removed
		}
	}()
	cmd := p.command(env)
	cmd.Env = append(cmd.Env, "UPKEEP_RESULT="+folder.file())
	said, told, lines := &answer.Tail{Limit: saidBytes}, &answer.Head{Limit: toldBytes}, &lineReader{}
	cmd.Stderr = io.MultiWriter(env.Out, said)
	switch p.options.Result {
	case contractNagios:
		// The plugin's answer is its standard output alone, so the streams
		// must come apart, at the price of their order.
		cmd.Stdout = io.MultiWriter(env.Out, told, lines)
	case contractPrometheus:
		told.Limit = answer.MostBytes
		cmd.Stdout = io.MultiWriter(env.Out, told)
	case contractExit:
		output := io.MultiWriter(env.Out, said, lines)
		cmd.Stdout, cmd.Stderr = output, output
	default:
		cmd.Stdout = cmd.Stderr
	}
	exit, err := child.Run(ctx, cmd)
	o := outcome{
		program: p, env: env, exit: exit, err: err, folder: folder,
		said: env.Scrub(said.String()), told: env.Scrub(told.String()), cut: told.Cut(), lines: lines,
	}
	return o.judge(ctx)
}

// command is the child without its streams.
func (p *program) command(env *jobs.Env) child.Command {
	o := p.options
	variables := env.Environ()
	if o.User != "" {
		// A user that does not exist is reported by the start of the child.
		if a, err := p.account(); err == nil {
			variables = append(variables, "HOME="+a.Home, "USER="+a.Name, "LOGNAME="+a.Name)
		}
	}
	variables = append(variables, answer.Variables(o.Env)...)
	return child.Command{
		Argv: o.Run, Dir: p.dir(env), Env: variables, User: o.User, Nice: o.Nice, Grace: env.KillGrace, Marks: env.Marks(),
		Limits: o.Limits.Child(),
	}
}
