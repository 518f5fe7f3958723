package archive

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Check tells whether the paths can be entered and the stores written to.
func (j *Job) Check(ctx context.Context, env *jobs.Env) error {
	sources, err := j.sources(env)
	if err != nil {
		return err
	}
	errs := []error{j.publisher.Check(ctx)}
	for _, s := range sources {
		if err := unix.Faccessat(unix.AT_FDCWD, s.real, unix.R_OK, unix.AT_EACCESS); err != nil {
			errs = append(errs, jobs.WithHint(fmt.Errorf("read %s: %w", s.path, err), hintUnreadable))
		}
	}
	return errors.Join(errs...)
}

// Run saves the paths. It reads the tree twice: once without contents, to find
// out early what is missing, unreadable or too large, and once to save it.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	sources, err := j.sources(env)
	if err != nil {
		return jobs.Result{}, err
	}
	said := &notes{}
	seen, err := j.survey(ctx, env, sources, said)
	if err != nil {
		return jobs.Result{Findings: said.findings()}, err
	}
	if err := j.publisher.RequireSpace(ctx, env, seen.data); err != nil {
		return jobs.Result{Findings: said.findings()}, err
	}
	t, err := j.newTarball(env, sources, seen, said)
	if err != nil {
		return jobs.Result{Findings: said.findings()}, err
	}
	began := time.Now()
	outcome, err := j.publisher.Publish(ctx, env, artifact.Work{
		What:    fmt.Sprintf("an archive of %s (%s files, %s)", pathList(sources), humanize.Comma(seen.files), artifact.Bytes(seen.bytes)),
		Produce: t.produce,
		Prove: func(ctx context.Context, a *object.Artifact, keys crypt.Keys) error {
			return Verify(ctx, a, keys...)
		},
		Driller: artifacts{},
	})
	result := jobs.Result{Values: t.totals.values(time.Since(began)), Findings: said.findings()}
	outcome.Describe(&result, t.totals.Bytes)
	switch {
	case env.DryRun():
		result.Values = map[string]float64{"files": float64(seen.files), "bytes": float64(seen.bytes)}
		result.Summary = fmt.Sprintf("would save %s files, %s in %s", humanize.Comma(seen.files), artifact.Bytes(seen.bytes), j.publisher.Names())
	case len(outcome.Copies) > 0:
		result.Summary = fmt.Sprintf("%s files, %s", humanize.Comma(t.totals.Files), outcome.Sentence(t.totals.Bytes))
	default:
		result.Summary = fmt.Sprintf("nothing was saved of %s files, %s", humanize.Comma(seen.files), artifact.Bytes(seen.bytes))
	}
	return result, err
}

// source is a configured path.
type source struct {
	// path is what was configured; real is where it leads when it is a link.
	path, real string
	// name is what it is called in the archive.
	name string
}

// open opens the directory that holds the source. The path was free of links
// when it was resolved; a directory that became one since is an error.
func (s source) open() (int, error) {
	parent := filepath.Dir(s.real)
	fd, err := unix.Openat2(unix.AT_FDCWD, parent, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // Linux before 5.6, or a filter of system calls
		fd, err = unix.Open(parent, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", parent, err)
	}
	return fd, nil
}

// base is the name of the source in that directory.
func (s source) base() string {
	if s.real == "/" {
		return "."
	}
	return filepath.Base(s.real)
}

// sources resolves the configured paths.
func (j *Job) sources(env *jobs.Env) ([]source, error) {
	var out []source
	var errs []error
	for _, p := range j.options.Paths {
		s := source{path: filepath.Clean(p.String()), name: nameFor(filepath.Clean(p.String()), env.Root)}
		var err error
		if s.real, err = filepath.EvalSymlinks(s.path); err != nil {
			errs = append(errs, jobs.WithHint(fmt.Errorf("find %s: %w", s.path, err),
				"correct the path, or remove it from paths: a backup must not silently skip it"))
			continue
		}
		for _, other := range out {
			if within(other.name, s.name) || within(s.name, other.name) {
				errs = append(errs, fmt.Errorf("%s and %s would both be called %s in the archive", other.path, s.path, s.name))
			}
		}
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}

// nameFor returns what a path is called in the archive: relative to root when
// it lies below it, else relative to /.
func nameFor(path, root string) string {
	if root != "" && within(path, root) {
		rel, err := filepath.Rel(root, path)
		if err == nil {
			return rel
		}
	}
	if name := strings.TrimPrefix(path, "/"); name != "" {
		return name
	}
	return "."
}

func pathList(sources []source) string {
	names := make([]string, 0, len(sources))
	for i, s := range sources {
		if i == 3 && len(sources) > 4 {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more paths", len(sources)-3)
		}
		names = append(names, s.path)
	}
	return strings.Join(names, ", ")
}
