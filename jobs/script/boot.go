package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// bootFile holds, in the attempt's private folder, the boot of the machine in
// which the attempt began.
const bootFile = "boot"

func writeBoot(dir string) error {
	boot, err := child.Boot()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, bootFile), []byte(boot.ID), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note the boot of the machine: %w", err)
	}
	return nil
}

// bootedSince tells whether the machine was booted since the attempt began. A
// private folder that did not survive leaves the time of the boot to judge by.
func bootedSince(dir string, since time.Time) (bool, error) {
	boot, err := child.Boot()
	if err != nil {
		return false, fmt.Errorf("look at the boot of the machine: %w", err)
	}
	before, err := os.ReadFile(filepath.Join(dir, bootFile))
	switch {
	case err == nil:
		return string(before) != boot.ID, nil
	case errors.Is(err, os.ErrNotExist):
		return boot.At.After(since), nil
	}
	return false, fmt.Errorf("read in which boot the attempt began: %w", err)
}
