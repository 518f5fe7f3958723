package jobstest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

const token = "s3cr3t/token of the harness"

// subject is a kind of job that is good by itself and bad where a test says.
// It replaces the file "state" below its root.
type subject struct {
	// Root is the folder.
	Root string `yaml:"root" doc:"The folder that holds the file."`

	bad string
}

func subjectKind(bad string) jobs.Kind {
	kind := jobs.Define("subject", "Replaces one file, well or badly.", subject{bad: bad}, func(o subject, _ jobs.Deps) (jobs.Job, error) {
		if bad == "secret in a check" {
			return chatty{o}, nil
		}
		return o, nil
	})
	if bad == "a probe with effects" {
		kind = kind.AsProbe()
	}
	if bad == "no documentation" {
		kind.Doc = "Hm."
	}
	return kind
}

// withEntries are the options of a subject that has one that nobody explained.
type withEntries struct {
	subject `yaml:",inline"`

	Entries []struct {
		Path string `yaml:"path"`
	} `yaml:"entries" doc:"What to look at."`
}

func undocumentedKind() jobs.Kind {
	return jobs.Define("subject", "Has an option without a word.", withEntries{}, func(o withEntries, _ jobs.Deps) (jobs.Job, error) {
		return o.subject, nil
	})
}

type chatty struct{ subject }

func (chatty) Check(_ context.Context, env *jobs.Env) error {
	env.Printf("connecting with %s", token)
	return nil
}

func (s subject) Check(_ context.Context, env *jobs.Env) error {
	switch s.bad {
	case "a check that changes":
		return s.put("checked", "x")
	case "a check with an effect":
		return env.Effect(context.Background(), "pretend", func(context.Context) error { return nil })
	case "a check that fails":
		return errors.New("never good")
	}
	return nil
}

func (s subject) put(name, text string) error {
	return os.WriteFile(filepath.Join(s.Root, name), []byte(text), 0o600)
}

func (s subject) exists(name string) bool {
	_, err := os.Stat(filepath.Join(s.Root, name))
	return err == nil
}

// Run is good unless s says otherwise.
func (s subject) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := s.beforeAnything(ctx, env); err != nil {
		return jobs.Result{}, err
	}
	if err := context.Cause(ctx); err != nil {
		switch s.bad {
		case "success under a dead context":
			return jobs.Result{Summary: "all fine"}, nil
		case "a cause that is lost":
			err = errors.New("stopped")
		}
		return jobs.Result{}, err
	}
	if s.bad == "changes outside effects" && !env.DryRun() {
		if err := s.put("outside", "x"); err != nil {
			return jobs.Result{}, err
		}
	}
	what := "replace the file"
	if s.bad == "secret in an effect" {
		what += " with " + base64.StdEncoding.EncodeToString([]byte(token))
	}
	for range 2 {
		if err := env.Effect(ctx, what, s.effect(env)); err != nil {
			return jobs.Result{}, err
		}
	}
	return s.afterwards(ctx, env)
}

func (s subject) beforeAnything(ctx context.Context, env *jobs.Env) error {
	switch {
	case s.bad == "changes in a dry run" && env.DryRun():
		return s.put("dry", "x")
	case s.bad == "changes under a dead context" && ctx.Err() != nil:
		return s.put("dead", "x")
	case s.bad == "cannot run twice" && s.exists("state"):
		return errors.New("the file exists already")
	case s.bad == "fails in a dry run" && env.DryRun():
		return errors.New("not in a dry run")
	}
	return nil
}

// effect replaces the file in two steps; a run between them must be able to
// follow a run that was killed there.
func (s subject) effect(env *jobs.Env) func(context.Context) error {
	return func(ctx context.Context) error {
		switch s.bad {
		case "cannot follow a stop", "cannot follow a kill":
			if s.exists("half") {
				return errors.New("the file of an earlier run is in the way")
			}
		case "secret in arguments":

			return exec.CommandContext(ctx, "sh", "-c", "sleep 0.3; exit 0", token).Run()
		case "a process goes on":
			cmd := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "20")
			cmd.Env = env.Environ()
			return cmd.Start()
		}
		if err := s.put("half", "x"); err != nil {
			return err
		}
		if s.bad == "cannot follow a stop" && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.put("state", "x"); err != nil || s.bad == "cannot follow a kill" {
			return err
		}
		return os.Remove(filepath.Join(s.Root, "half"))
	}
}

func (s subject) afterwards(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	r := jobs.Result{Summary: "replaced the file", Values: map[string]float64{"files": 1}}
	switch s.bad {
	case "a goroutine goes on":
		go func() { time.Sleep(20 * time.Second) }()
	case "never returns":
		if ctx.Err() == nil {
			time.Sleep(time.Minute)
		}
	case "secret in the output":
		env.Printf("logged in with %s", token)
	case "secret in the log":
		env.Log.Debug("logged in", "token", token)
	case "secret in the result":
		r.Outputs = map[string]string{"url": "postgres://me:s3cr3t%2Ftoken%20of%20the%20harness@host/"}
	case "secret in the error":
		return r, errors.New("cannot log in with " + token)
	case "no summary":
		r.Summary = ""
	case "a summary of two lines":
		r.Summary = "one\ntwo"
	case "not a number":
		r.Values["share"] = math.NaN()
	case "a bad name":
		r.Values["Big Name"] = 1
	case "a bad finding":
		r.Findings = []jobs.Finding{{ID: "Not An ID", Severity: jobs.Warning, Text: "x"}}
	}
	return r, nil
}
