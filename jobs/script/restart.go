package script

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Verify proves after a restart that all is well.
type Verify struct {
	Run    unit.Command  `yaml:"run" doc:"A program, as in run, that ends with exit code 0 when all is well; it is tried again until then." example:"[curl, -fsS, 'http://127.0.0.1:8080/health']"`
	Within unit.Duration `yaml:"within" doc:"How long the restart, and after it the proof, may take."`
	Every  unit.Duration `yaml:"every" doc:"The pause between two tries."`
}

// What a program may restart.
const (
	restartsUpkeep  = "upkeep"
	restartsMachine = "machine"
)

// shortestPause bounds how often a proof is tried.
const shortestPause = 100 * time.Millisecond

func (o *Options) validateRestart() []error {
	var errs []error
	switch o.Restarts {
	case "":
		if len(o.Verify.Run) > 0 {
			errs = append(errs, &jobs.FieldError{Field: "verify.run", Why: "there is no restart to verify", Hint: "say with restarts: what the program restarts"})
		}
		return errs
	case restartsUpkeep, restartsMachine:
	default:
		errs = append(errs, jobs.Fieldf("restarts", "%q is neither upkeep nor machine", o.Restarts))
	}
	if len(o.Verify.Run) == 0 || o.Verify.Run[0] == "" {
		errs = append(errs, &jobs.FieldError{Field: "verify.run", Why: "nothing would prove that the restart went well", Hint: "write for example [upkeep, version]"})
	}
	for i, arg := range o.Verify.Run {
		if strings.IndexByte(arg, 0) >= 0 {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("verify.run[%d]", i), "it contains a NUL byte"))
		}
	}
	if o.Result != contractExit {
		errs = append(errs, jobs.Fieldf("result", "%s cannot be read after a restart: use exit", o.Result))
	}
	if len(o.Thresholds) > 0 {
		errs = append(errs, jobs.Fieldf("thresholds", "nothing is counted over a restart"))
	}
	if o.Verify.Every.Std() < shortestPause {
		errs = append(errs, jobs.Fieldf("verify.every", "%s is below the shortest pause, %s", o.Verify.Every, shortestPause))
	}
	if o.Verify.Within <= o.Verify.Every {
		errs = append(errs, jobs.Fieldf("verify.within", "%s leaves no time for a second try", o.Verify.Within))
	}
	return errs
}

// restart is the job of a program that ends upkeep.
type restart struct {
	program
}

var _ jobs.Survivor = (*restart)(nil)

// Run plans the restart, runs the program and waits for the end of upkeep. To
// return without an error is not among its outcomes.
func (p *restart) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	var result jobs.Result
	what := "run " + p.display(env) + ", which restarts " + p.whatever()
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

// whatever is what gets restarted, for sentences.
func (p *restart) whatever() string {
	if p.options.Restarts == restartsMachine {
		return "the machine"
	}
	return "upkeep"
}

func (p *restart) run(ctx context.Context, env *jobs.Env) (result jobs.Result, err error) {
	if err := writeBoot(env.WorkDir); err != nil {
		return jobs.Result{}, err
	}
	written, err := createTranscript(env)
	if err != nil {
		return jobs.Result{}, err
	}
	cmd, err := p.outliving(env)
	if err != nil {
		return jobs.Result{}, errors.Join(err, written.close())
	}
	cmd.Stdout, cmd.Stderr = written.file, written.file
	if err := env.PlanRestart(ctx, "restart "+p.whatever()); err != nil {
		return jobs.Result{}, errors.Join(fmt.Errorf("plan the restart: %w", err), written.close())
	}
	stop := written.follow()
	exit, err := child.Run(ctx, cmd)
	stop()
	o := outcome{program: &p.program, env: env, exit: exit, err: err, said: env.Scrub(written.said.String())}
	result, err = o.judge(ctx)
	if err = errors.Join(err, written.close()); err != nil {
		return result, err
	}
	env.Printf("the program has ended; waiting for the restart of %s", p.whatever())
	within := time.NewTimer(p.options.Verify.Within.Std())
	defer within.Stop()
	select {
	case <-ctx.Done():
		return result, fmt.Errorf("wait for the restart of %s: %w", p.whatever(), context.Cause(ctx))
	case <-within.C:
	}
	return result, jobs.WithHint(
		fmt.Errorf("the program ended well, but %s was not restarted within %s", p.whatever(), p.options.Verify.Within),
		"let `run` really restart it, or give it more time with `verify: {within: …}`")
}

// Judge implements jobs.Survivor.
func (p *restart) Judge(ctx context.Context, env *jobs.Env, since time.Time) (jobs.Result, error) {
	var result jobs.Result
	err := env.Effect(ctx, "verify the restart of "+p.whatever()+" by "+p.verifyText(env), func(ctx context.Context) error {
		written, err := openTranscript(env)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, p.options.Verify.Within.Std(), errLate)
		defer cancel()
		err = p.settle(ctx, env, since, written)
		if err = errors.Join(err, written.close()); err != nil {
			return err
		}
		result, err = p.prove(ctx, env)
		return err
	})
	return result, err
}

// errLate is the cause of what verify.within cuts short.
var errLate = errors.New("the time for it is over")

// settle waits until the restart has happened and nothing that the program
// left is at work.
func (p *restart) settle(ctx context.Context, env *jobs.Env, since time.Time, written *transcript) error {
	for {
		left, err := jobs.CountLeftovers(env.RunID, env.Job)
		if err != nil {
			return err
		}
		written.copy()
		booted := true
		if p.options.Restarts == restartsMachine {
			if booted, err = bootedSince(env.WorkDir, since); err != nil {
				return err
			}
		}
		if left == 0 && booted {
			return nil
		}
		if p.pause(ctx) {
			continue
		}
		switch cause := context.Cause(ctx); {
		case !errors.Is(cause, errLate):
			return fmt.Errorf("wait for what the restart left at work: %w", cause)
		case !booted:
			return jobs.WithHint(fmt.Errorf("upkeep was restarted, but the machine was not within %s", p.options.Verify.Within),
				"let `run` really reboot, or give it more time with `verify: {within: …}`")
		}
		return jobs.WithHint(fmt.Errorf("%d processes of the program were still at work %s after upkeep was restarted, and are ended", left, p.options.Verify.Within),
			"give them more time with `verify: {within: …}`")
	}
}

// pause waits for the next try and tells whether there is time for it.
func (p *restart) pause(ctx context.Context) bool {
	next := time.NewTimer(p.options.Verify.Every.Std())
	defer next.Stop()
	select {
	case <-next.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// prove runs the proof until it succeeds. Only its last output is shown.
func (p *restart) prove(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	cmd := p.command(env)
	cmd.Argv = p.options.Verify.Run
	var said *answer.Tail
	var err error
	for {
		words := &answer.Tail{Limit: saidBytes}
		cmd.Stdout, cmd.Stderr = words, words
		_, last := child.Run(ctx, cmd)
		if _, cut := errors.AsType[*child.StopError](last); !cut || err == nil {
			said, err = words, last // a try that was cut short says less than the one before
		}
		if last != nil && p.pause(ctx) {
			continue
		}
		_, _ = env.Out.Write([]byte(said.String())) // Out never fails
		if err == nil {
			return jobs.Result{Summary: p.whatever() + " was restarted and verified"}, nil
		}
		if cause := context.Cause(ctx); !errors.Is(cause, errLate) {
			return jobs.Result{}, fmt.Errorf("verify the restart: %w", cause)
		}
		line := env.OneLine(answer.LastLine(env.Scrub(said.String())))
		return jobs.Result{}, jobs.WithHint(&unprovenError{err: err, words: line, what: p.whatever(), within: p.options.Verify.Within},
			"look at what was restarted; the proof is "+p.verifyText(env))
	}
}

// unprovenError says that the proof failed until the time was over.
type unprovenError struct {
	err         error
	words, what string
	within      unit.Duration
}

func (e *unprovenError) Error() string {
	text := fmt.Sprintf("%s was restarted but not verified within %s: %v", e.what, e.within, e.err)
	if e.words != "" {
		text += ": " + e.words
	}
	return text
}

func (e *unprovenError) Unwrap() error { return e.err }

// verifyText is the proof as people know it.
func (p *restart) verifyText(env *jobs.Env) string {
	verify := program{options: Options{Run: p.options.Verify.Run}}
	return verify.display(env)
}

// Check makes sure of the program, and that the proof exists.
func (p *restart) Check(ctx context.Context, env *jobs.Env) error {
	if err := p.program.Check(ctx, env); err != nil {
		return err
	}
	cmd := p.command(env)
	if _, err := child.LookPath(p.options.Verify.Run[0], cmd.Env, cmd.Dir); err != nil {
		return jobs.WithHint(fmt.Errorf("find %s: %w", p.options.Verify.Run[0], err), "install the program or write its full path")
	}
	return nil
}
