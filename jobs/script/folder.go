package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

// resultFolder is where the program leaves its result. The folder is kept open,
// because a program that runs as another user owns it, and could put a link in
// its place.
type resultFolder struct {
	path string
	dir  *os.File
	// borrowed tells that the folder stays, without the result.
	borrowed bool
}

// makeResultFolder makes the folder: that of the attempt itself, where the
// program can reach it. One that runs as another user cannot, so it gets a
// folder in the system's place for temporary files, named after the job, so that what an attempt left there that
// was killed is removed by the next one.
func (p *program) makeResultFolder(env *jobs.Env) (_ *resultFolder, err error) {
	fail := func(err error) (*resultFolder, error) {
		return nil, fmt.Errorf("make the result folder: %w", err)
	}
	if p.options.User == "" {
		dir, err := os.Open(env.WorkDir)
		if err != nil {
			return fail(err)
		}
		return &resultFolder{path: env.WorkDir, dir: dir, borrowed: true}, nil
	}
	a, err := p.account()
	if err != nil {
		return nil, err
	}
	prefix := "upkeep-result-" + env.RunID + "." + env.Job + "."
	if err := removeOld(filepath.Join(os.TempDir(), prefix+"*")); err != nil {
		return fail(err)
	}
	path, err := os.MkdirTemp("", prefix)
	if err != nil {
		return fail(err)
	}
	f, err := openResultFolder(path)
	if err != nil {
		return nil, err
	}
	if err := f.dir.Chown(int(a.UID), int(a.GID)); err != nil {
		err = errors.Join(fmt.Errorf("give the result folder to user %s: %w", a.Name, err), f.remove())
		return nil, jobs.WithHint(err, "only root may run scripts as another user")
	}
	return f, nil
}

func openResultFolder(path string) (*resultFolder, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the result folder: %w", err), os.Remove(path))
	}
	return &resultFolder{path: path, dir: dir}, nil
}

func removeOld(pattern string) error {
	old, err := filepath.Glob(pattern)
	for _, path := range old {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// file is the path that the program gets.
func (f *resultFolder) file() string { return filepath.Join(f.path, answer.Name) }

func (f *resultFolder) remove() error {
	path := f.path
	if f.borrowed {
		path = f.file()
	}
	if err := errors.Join(f.dir.Close(), os.RemoveAll(path)); err != nil {
		return fmt.Errorf("remove the result folder: %w", err)
	}
	return nil
}
