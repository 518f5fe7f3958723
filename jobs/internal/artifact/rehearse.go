package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Rehearsal is how a kind restores its artifacts into files for a proof of L3.
type Rehearsal struct {
	// What describes the content as the object of a verb, such as "12 files,
	// 3 MB"; Bytes is how much room it takes.
	What  string
	Bytes int64
	// Restore puts the content into the empty folder dir and fills in what came
	// back, but for the times.
	Restore func(ctx context.Context, dir string, r *object.Restored) error
	// Judge looks at what is in dir after it was restored.
	Judge func(ctx context.Context, dir string, r *object.Restored) error
}

// keptPrefix begins the names of folders whose content a drill keeps.
const keptPrefix = "upkeep-drilled-"

// Rehearse implements jobs.Driller for kinds that restore into files: it
// restores into a folder of its own in env.WorkDir, judges what is there, and
// removes it.
func Rehearse(ctx context.Context, env *jobs.Env, a *object.Artifact, d jobs.Drill, r Rehearsal) (jobs.Drilled, error) {
	if d.Level != object.L3 {
		return jobs.Drilled{}, jobs.WithHint(fmt.Errorf("drill artifact %s: %s cannot be proven of files", a.Manifest.ID, d.Level), "use L3, which restores them in full")
	}
	free, err := FreeBytes(env.WorkDir)
	if err != nil {
		return jobs.Drilled{}, err
	}
	if free < r.Bytes {
		return jobs.Drilled{}, jobs.WithHint(&jobs.RefusedError{Rail: "free space", Why: fmt.Sprintf("the working directory has %s free, but %s take %s",
			Bytes(free), r.What, Bytes(r.Bytes))}, "free space there, or set TMPDIR")
	}
	out := jobs.Drilled{Summary: r.What + " came back"}
	if env.DryRun() {
		out.Summary = "would restore " + r.What + ", compare and remove them"
	}
	began := time.Now()
	restored := object.Restored{AsOf: a.Manifest.Started.UTC()}
	err = env.Effect(ctx, "restore "+r.What+" into the working directory, and remove it again", func(ctx context.Context) error {
		out.Kept, err = r.rehearse(ctx, env, d.Keep, &restored)
		return err
	})
	if err != nil {
		out.Summary = ""
	}
	if env.DryRun() || err != nil && !errors.Is(err, object.ErrDamaged) {
		return out, Stopped(ctx, err)
	}
	out.Proof, err = Judge(env, a, d.Level, began, err)
	if err == nil {
		out.Proof.Restored = &restored
	}
	return out, err
}

// removeAll removes a tree in which restored directories may forbid that.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walked := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(path, 0o700) //nolint:gosec // a directory that is about to go
		}
		return err
	})
	if walked != nil {
		return errors.Join(err, walked)
	}
	return os.RemoveAll(dir)
}

// Stopped adds to an error why ctx ended, when it did and the error, which may
// come from a library that knows only that, does not say so.
func Stopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// rehearse is the effect itself.
func (r Rehearsal) rehearse(ctx context.Context, env *jobs.Env, keep bool, restored *object.Restored) (kept string, err error) {
	parent, prefix := env.WorkDir, "drill-"
	if keep { // the working directory ends with the attempt
		parent, prefix = "", keptPrefix
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for the drill: %w", err)
	}
	defer func() {
		if err == nil && keep {
			kept = dir
			return
		}
		err = errors.Join(err, removeAll(dir))
	}()
	began := time.Now()
	if err := r.Restore(ctx, dir, restored); err != nil {
		return "", err
	}
	restored.Seconds = time.Since(began).Seconds()
	return "", r.Judge(ctx, dir, restored)
}
