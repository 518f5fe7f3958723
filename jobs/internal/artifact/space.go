package artifact

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
)

// bestRatio is the compression that is hoped for while nothing is known: so
// much of the plain size must be free at least.
const bestRatio = 0.02

// RequireSpace refuses to begin when a store that knows its free space cannot
// hold so many plain bytes, compressed as well as the last artifact of this job
// was. It errs on the side of trying: a disk that fills up leaves nothing
// behind.
func (p *Publisher) RequireSpace(ctx context.Context, env *jobs.Env, plain int64) error {
	for _, s := range p.stores {
		spacious, ok := s.Store.(object.Spacious)
		if !ok {
			continue
		}
		free, err := spacious.FreeBytes(ctx)
		if err != nil {
			return err
		}
		ratio, err := p.lastRatio(ctx, env, s)
		if err != nil {
			return err
		}
		if needed := int64(float64(plain) * ratio); free < needed {
			return jobs.WithHint(
				fmt.Errorf("store %s has %s free, but about %s are needed", s.name, Bytes(free), Bytes(needed)),
				"free space there, or keep fewer artifacts")
		}
	}
	return nil
}

// lastRatio returns stored by plain bytes of the newest readable artifact of
// this job.
func (p *Publisher) lastRatio(ctx context.Context, env *jobs.Env, s store) (float64, error) {
	if frame.Codec(p.options.Compression) == frame.None {
		return 1, nil
	}
	last, err := object.Newest(ctx, s.Store, object.Folder(env.Workflow, env.Job))
	if err != nil {
		return 0, err
	}
	if last == nil || last.Manifest.Streams[0].Plain.Bytes == 0 {
		return bestRatio, nil
	}
	return min(1, float64(last.Manifest.Stored())/float64(last.Manifest.Streams[0].Plain.Bytes)), nil
}

// margin is how much larger than the last artifact a new one may become.
const margin = 1.2

// RequireRoom refuses to begin when a store that knows its free space cannot
// hold an artifact as large as the last one of this job, and a little more, and
// still have least bytes free afterwards. While there is no last one, guess is
// the size of what is to be saved, of which only a small part is demanded.
func (p *Publisher) RequireRoom(ctx context.Context, env *jobs.Env, guess, least int64) error {
	for _, s := range p.stores {
		spacious, ok := s.Store.(object.Spacious)
		if !ok {
			continue
		}
		free, err := spacious.FreeBytes(ctx)
		if err != nil {
			return err
		}
		last, err := object.Newest(ctx, s.Store, object.Folder(env.Workflow, env.Job))
		if err != nil {
			return err
		}
		needed := int64(float64(guess) * bestRatio)
		if last != nil {
			needed = int64(float64(last.Manifest.Stored()) * margin)
		}
		switch {
		case free < needed:
			return jobs.WithHint(
				fmt.Errorf("store %s has %s free, but about %s are needed", s.name, Bytes(free), Bytes(needed)),
				"free space there, or keep fewer artifacts")
		case least > 0 && free-needed < least:
			return jobs.WithHint(
				&jobs.RefusedError{Rail: "min_free", Why: fmt.Sprintf("store %s has %s free, of which about %s are needed, and %s must be left",
					s.name, Bytes(free), Bytes(needed), Bytes(least))},
				"free space there, keep fewer artifacts, or lower min_free")
		}
	}
	return nil
}

// FreeBytes returns how many bytes an ordinary user may still write to the file
// system of dir.
func FreeBytes(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("look for free space in %s: %w", dir, err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}
