package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// program is the job.
type program struct {
	options Options
}

// Check makes sure that the program and the working directory exist.
func (p *program) Check(_ context.Context, env *jobs.Env) error {
	dir := p.dir(env)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err == nil {
			err = fs.ErrInvalid
		}
		return jobs.WithHint(fmt.Errorf("working directory %s: %w", dir, err), "correct `dir:` or create the directory")
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
	done := false
	err := env.Effect(ctx, "run "+p.display(), func(ctx context.Context) error {
		done = true
		var err error
		result, err = p.run(ctx, env)
		return err
	})
	if err == nil && !done {
		result.Summary = "would run " + p.display()
	}
	return result, err
}

// display is the command line as people know it, cut to a readable length.
func (p *program) display() string {
	argv := p.options.Run
	text := strings.Join(argv, " ")
	if argv.IsShell() {
		text = argv[2]
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 160 {
		text = string(runes[:159]) + "…"
	}
	return text
}

func (p *program) run(ctx context.Context, env *jobs.Env) (_ jobs.Result, err error) {
	dir, err := p.resultDir(env)
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); removed != nil && err == nil {
			err = fmt.Errorf("remove the result folder: %w", removed)
		}
	}()
	file := filepath.Join(dir, "result.json")
	cmd := p.command(env)
	cmd.Env = append(cmd.Env, "UPKEEP_RESULT="+file)
	said := &tail{limit: 16 << 10}
	told := &head{limit: 64 << 10}
	output := io.MultiWriter(env.Out, said)
	cmd.Stdout, cmd.Stderr = output, output
	if p.options.Result == "nagios" {
		// The plugin's answer is its standard output alone, so the streams
		// must come apart, at the price of their order.
		cmd.Stdout, cmd.Stderr = io.MultiWriter(env.Out, told), output
	}
	exit, err := child.Run(ctx, cmd)
	result, err := p.judge(outcome{exit: exit, err: err, said: said.String(), told: told.String(), file: file})
	p.measure(&result, exit)
	return result, err
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
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		variables = append(variables, name+"="+o.Env[name].Reveal())
	}
	return child.Command{
		Argv: o.Run, Dir: p.dir(env), Env: variables, User: o.User, Nice: o.Nice, Grace: env.KillGrace, Marks: env.Marks(),
		Limits: child.Limits{
			CPU: o.Limits.CPU.Std(), Memory: uint64(o.Limits.Memory), Files: o.Limits.Files,
			FileSize: uint64(o.Limits.FileSize), Processes: o.Limits.Processes, Core: uint64(o.Limits.Core),
		},
	}
}

// resultDir makes the folder for the result file. A program that runs as
// another user cannot reach upkeep's own folders, so it gets one in the
// system's place for temporary files.
func (p *program) resultDir(env *jobs.Env) (string, error) {
	if p.options.User == "" {
		dir, err := os.MkdirTemp(env.WorkDir, "result-")
		if err != nil {
			return "", fmt.Errorf("make the result folder: %w", err)
		}
		return dir, nil
	}
	a, err := p.account()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "upkeep-result-")
	if err != nil {
		return "", fmt.Errorf("make the result folder: %w", err)
	}
	if err := os.Chown(dir, int(a.UID), int(a.GID)); err != nil {
		err = errors.Join(fmt.Errorf("give the result folder to user %s: %w", a.Name, err), os.Remove(dir))
		return "", jobs.WithHint(err, "only root may run scripts as another user")
	}
	return dir, nil
}

// measure adds what the operating system counted.
func (p *program) measure(r *jobs.Result, exit child.Exit) {
	if r.Values == nil {
		r.Values = map[string]float64{}
	}
	if exit.Code >= 0 {
		r.Values["exit_code"] = float64(exit.Code)
	}
	r.Values["cpu_seconds"] = (exit.UserCPU + exit.SystemCPU).Seconds()
	if exit.MaxRSS > 0 {
		r.Values["max_rss_bytes"] = float64(exit.MaxRSS)
	}
	if exit.Escaped > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "escaped", Severity: jobs.Warning,
			Text: fmt.Sprintf("%d processes outlived the program and were ended", exit.Escaped),
		})
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[max(len(p)-t.limit, 0):]...)
	if excess := len(t.buf) - t.limit; excess > 0 {
		t.buf = append(t.buf[:0], t.buf[excess:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// head keeps the first bytes written to it.
type head struct {
	limit int
	buf   bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), max(h.limit-h.buf.Len(), 0))])
	return len(p), nil
}

func (h *head) String() string { return h.buf.String() }
