package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

// makeWorkDir makes the private folder of an attempt below dir.
func makeWorkDir(dir string, key runner.AttemptKey) (string, error) {
	pattern := attemptPrefix(key) + "*"
	path, err := os.MkdirTemp(dir, pattern)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		path, err = os.MkdirTemp(dir, pattern)
	}
	return path, err
}

// workPrefix begins the names of the private folders of a run's attempts.
func workPrefix(id runner.RunID) string { return "upkeep-" + string(id) + "." }

// attemptPrefix begins the name of the private folder of an attempt.
func attemptPrefix(key runner.AttemptKey) string {
	return workPrefix(key.Run) + fmt.Sprintf("%s.%d-", key.Job, key.Number)
}

// findWorkDir returns the private folder that the attempt has already, or the
// empty text.
func findWorkDir(dir string, key runner.AttemptKey) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), attemptPrefix(key)) && entry.IsDir() {
			return filepath.Join(dir, entry.Name()), nil
		}
	}
	return "", nil
}

// sweepWorkDirs removes private folders that a dead process left behind, except
// those of the attempts that go on.
func sweepWorkDirs(dir string, id runner.RunID, keep []runner.AttemptKey) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find private folders of run %s: %w", id, err)
	}
	for _, entry := range entries {
		kept := func(key runner.AttemptKey) bool { return strings.HasPrefix(entry.Name(), attemptPrefix(key)) }
		if !strings.HasPrefix(entry.Name(), workPrefix(id)) || slices.ContainsFunc(keep, kept) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove private folder: %w", err)
		}
	}
	return nil
}
