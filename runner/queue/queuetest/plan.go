package queuetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// workflow is the frozen text of the suite's runs, as JSON.
type workflow struct {
	// Version is that of the text: compilers know those up to their own.
	Version  int
	Parallel int
	Jobs     []task
}

// task is one job of a workflow, and what it does.
type task struct {
	Name  string
	Needs []string    `json:",omitempty"`
	When  runner.When `json:",omitempty"`
	Locks []string    `json:",omitempty"`
	// Do is what the job does before it leaves its effect: see actions.
	Do string `json:",omitempty"`
	// Millis is how long it takes.
	Millis int `json:",omitempty"`
	// Meet is how many jobs of the run end together with it, itself included.
	Meet int `json:",omitempty"`
}

// What a job may do.
const (
	doHold  = "hold"  // wait until the file `go` is in the suite's folder
	doChild = "child" // the first attempt starts a child that never ends, and waits for it
	doLeak  = "leak"  // tell a secret in every way there is
	// Run a program that kills this process and goes on for a while, and prove
	// by the file that it leaves that all is well; or find that it left none.
	doRestart = "restart"
	doBreak   = "break"
	// Run a program that lets somebody else end this process in good order.
	doAsk = "ask"
)

// compiler makes plans of workflow texts.
type compiler struct {
	dir     string
	version int
	meeting *meeting
}

// secretText is the secret that doLeak tells; it must not be in the ledger.
const secretText = "s3cr3t/of the&suite"

// Compile implements runner.Compiler.
func (c compiler) Compile(_ context.Context, spec runner.Spec, _ map[string]string) (runner.Plan, error) {
	var w workflow
	if err := json.Unmarshal([]byte(spec.Text), &w); err != nil {
		return runner.Plan{}, fmt.Errorf("decode the workflow: %w", err)
	}
	if w.Version > c.version {
		return runner.Plan{}, jobs.WithHint(fmt.Errorf("the text has version %d, this upkeep knows up to %d", w.Version, c.version), "use the newer upkeep")
	}
	plan := runner.Plan{Parallel: w.Parallel, KillGrace: time.Second, Root: c.dir}
	for _, t := range w.Jobs {
		plan.Jobs = append(plan.Jobs, runner.PlannedJob{
			Name: t.Name, Kind: "suite", Needs: t.Needs, When: t.When, Locks: t.Locks,
			Build: func(runner.HistoryReader) (jobs.Job, []string, error) {
				if t.Do == doRestart || t.Do == doBreak || t.Do == doAsk {
					job, err := restartScript(t.Do)
					return job, nil, err
				}
				return action{compiler: c, task: t}, []string{secretText}, nil
			},
		})
	}
	return plan, nil
}

// upgradedFile is what the program of doRestart leaves below the root,
// restartPIDFile holds its number, and askedFile tells that it wants to be
// ended.
const (
	askedFile      = "asked"
	upgradedFile   = "upgraded"
	restartPIDFile = "restart-pid"
)

// restartScript is a job of kind script that kills upkeep, as an upgrade of its
// own package does.
func restartScript(do string) (jobs.Job, error) {
	kind := script.Kind()
	options, ok := kind.Options().(*script.Options)
	if !ok {
		return nil, errors.New("the options of kind script are others")
	}
	leave, end := "touch "+upgradedFile, "kill -9 $PPID"
	switch do {
	case doBreak:
		leave = "true"
	case doAsk:
		end = "touch " + askedFile + "; while test ! -e " + releaseFile + "; do sleep 0.05; done"
	}
	text := fmt.Sprintf("echo $$ > %s; echo unpacking; sleep 0.5; %s; sleep 1; echo configuring; %s; sleep 1; echo configured", restartPIDFile, end, leave)
	options.Run = unit.Command{"/bin/sh", "-c", text}
	options.Restarts = "upkeep"
	options.Verify.Run = unit.Command{"/bin/sh", "-c", "! kill -0 $(cat " + restartPIDFile + ") && echo looking && test -e " + upgradedFile}
	// Only the program that breaks what it upgrades is waited for in vain.
	within := 60 * time.Second
	if do == doBreak {
		within = 6 * time.Second
	}
	options.Verify.Within, options.Verify.Every = unit.Duration(within), unit.Duration(100*time.Millisecond)
	return kind.Build(options, nil)
}

// action is a task as a job.
type action struct {
	compiler
	task
}

// Run implements jobs.Job.
func (a action) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	result := jobs.Result{Summary: "did " + a.Name}
	env.Printf("%s begins", a.Name)
	leave, err := a.enter()
	if err != nil {
		return result, err
	}
	defer leave()
	switch a.Do {
	case doHold:
		err = a.hold(ctx)
	case doChild:
		if env.Attempt == 1 {
			err = a.child(ctx, env)
		}
	case doLeak:
		err = a.leak(ctx, env, &result)
	}
	if err == nil {
		err = pause(ctx, time.Duration(a.Millis)*time.Millisecond)
	}
	if err != nil {
		return result, err
	}
	err = env.Effect(ctx, "note "+a.Name, func(context.Context) error { return note(a.dir, env) })
	a.meeting.wait(ctx, env.RunID, a.Meet)
	return result, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pause: %w", context.Cause(ctx))
	}
}

// enter fails while another attempt works, of whatever process, that wants a
// lock: in this suite all want the same one. A process that is killed is out.
func (a action) enter() (leave func(), err error) {
	if len(a.Locks) == 0 {
		return func() {}, nil
	}
	f, err := os.OpenFile(filepath.Join(a.dir, a.Locks[0][strings.LastIndexByte(a.Locks[0], '/')+1:]+".inside"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("enter: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(retry.Permanent(fmt.Errorf("another attempt has the lock %s too: %w", a.Locks[0], err)), f.Close())
	}
	return func() { _ = f.Close() }, nil // only ever locked
}

// releaseFile is what doHold waits for.
const releaseFile = "go"

func (a action) hold(ctx context.Context) error {
	for {
		if _, err := os.Stat(filepath.Join(a.dir, releaseFile)); err == nil {
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// childFile holds the number of the process that doChild started.
const childFile = "child"

// child starts a process in a session of its own, which no signal to this
// process reaches.
func (a action) child(ctx context.Context, env *jobs.Env) error {
	sleep := exec.Command("sleep", "1000")
	sleep.Env = env.Environ()
	sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sleep.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	if err := writeFile(filepath.Join(a.dir, childFile), fmt.Sprint(sleep.Process.Pid)); err != nil {
		return err
	}
	err := pause(ctx, time.Hour)
	return errors.Join(err, sleep.Process.Kill(), sleep.Wait())
}

// writeFile makes a file that readers see whole or not at all.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// leak tells the secret in its output, in two writes and percent-encoded, in
// its result, in its log and in its error, and gives it to a child by its
// environment.
func (a action) leak(ctx context.Context, env *jobs.Env, result *jobs.Result) error {
	show := exec.CommandContext(ctx, "sh", "-c", `printf 'from a child: %s\n' "$SECRET"; sleep 1`)
	show.Env = append(env.Environ(), "SECRET="+secretText)
	show.Stdout, show.Stderr = env.Out, env.Out
	if err := show.Run(); err != nil {
		return fmt.Errorf("run child: %w", err)
	}
	half := len(secretText) / 2
	for _, part := range []string{"in two writes: ", secretText[:half], secretText[half:], "\nencoded: " + url.QueryEscape(secretText) + "\n", "path: " + url.PathEscape(secretText) + "\n"} {
		if _, err := io.WriteString(env.Out, part); err != nil {
			return err
		}
	}
	env.Log.Info("uses "+secretText, "value", secretText)
	result.Summary = "used " + secretText
	result.Outputs = map[string]string{"key": secretText}
	result.Findings = []jobs.Finding{{ID: "secret", Severity: jobs.Info, Text: "it is " + secretText}}
	return jobs.WithHint(fmt.Errorf("refused %s", secretText), "try "+secretText)
}

// note puts the effect of an attempt on record outside the ledger: one line,
// written at once and durable.
func note(dir string, env *jobs.Env) error {
	file, err := os.OpenFile(filepath.Join(dir, "effects"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s %s %d %s\n", env.RunID, env.Job, env.Attempt, env.Node)
	return errors.Join(err, file.Close())
}

// effect is one line that note wrote.
type effect struct {
	run     runner.RunID
	job     string
	attempt int
	node    string
}

// effects reads what note wrote below dir.
func effects(dir string) ([]effect, error) {
	text, err := os.ReadFile(filepath.Join(dir, "effects"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var out []effect
	for line := range strings.Lines(string(text)) {
		var e effect
		if _, err := fmt.Sscan(line, &e.run, &e.job, &e.attempt, &e.node); err != nil {
			return nil, fmt.Errorf("effect %q: %w", line, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// meeting lets jobs of one run end at the same instant.
type meeting struct {
	mu   sync.Mutex
	here map[string][]chan struct{}
}

// wait returns when count jobs of the run are here; after a while, because
// after a crash some have ended before.
func (m *meeting) wait(ctx context.Context, run string, count int) {
	if count == 0 {
		return
	}
	mine := make(chan struct{})
	m.mu.Lock()
	if m.here == nil {
		m.here = map[string][]chan struct{}{}
	}
	m.here[run] = append(m.here[run], mine)
	if len(m.here[run]) == count {
		for _, c := range m.here[run] {
			close(c)
		}
		delete(m.here, run)
	}
	m.mu.Unlock()
	select {
	case <-mine:
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}
