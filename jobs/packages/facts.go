package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Host implements system.
func (a *apt) Host(ctx context.Context, changes []change) (host, error) {
	h := host{Root: a.dirs["ROOT"], Downloads: a.dirs["ARCHIVES"]}
	if h.Root == "" {
		h.Root = "/"
	}
	var err error
	for verb, list := range map[string]*[]string{"showhold": &h.Held, "showauto": &h.Auto} {
		text, err := a.ask(ctx, slices.Concat([]string{"apt-mark"}, a.caches(), []string{verb})...)
		if err != nil {
			return h, fmt.Errorf("ask which packages are marked (%s): %w", verb, err)
		}
		*list = strings.Fields(text)
	}
	if h.Lists, err = newest(a.dirs["LISTS"]); err != nil {
		return h, err
	}
	if h.Own, err = a.owner(ctx); err != nil {
		return h, err
	}
	if h.Reboot, h.For, err = rebootOf(h.Root); err != nil || len(changes) == 0 {
		return h, err
	}
	text, err := a.ask(ctx, a.pure(slices.Concat([]string{"-y", "--print-uris", "install", "--only-upgrade"}, exactly(changes))...)...)
	if err != nil {
		return h, fmt.Errorf("ask what would be downloaded: %w", err)
	}
	h.DownloadBytes, err = readURIs(text)
	return h, err
}

// newest is when a file of a folder, but none below it, changed last.
func newest(folder string) (at time.Time, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at, fmt.Errorf("look how old the package lists are: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 && info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}

// owner is the package that the program of upkeep came in, or "".
func (a *apt) owner(ctx context.Context) (string, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("find the program of upkeep: %w", err)
	}
	text, err := a.ask(ctx, "dpkg-query", "--admindir="+a.admin(), "-S", program)
	if exit, ok := errors.AsType[*child.ExitError](err); ok && exit.Code == 1 {
		return "", nil // no package has it
	}
	if err != nil {
		return "", fmt.Errorf("ask which package %s came in: %w", program, err)
	}
	name, _, _ := strings.Cut(text, ": ")
	if !wholly.MatchString(name) {
		return "", nil
	}
	return name, nil
}

// rebootOf reads the flag that packages of Debian and Ubuntu leave (see
// update-notifier and unattended-upgrades).
func rebootOf(root string) (wanted bool, by []string, err error) {
	flag := filepath.Join(root, "var/run/reboot-required")
	if _, err := os.Stat(flag); errors.Is(err, fs.ErrNotExist) {
		return false, nil, nil
	} else if err != nil {
		return false, nil, fmt.Errorf("look whether a reboot is wanted: %w", err)
	}
	text, err := os.ReadFile(flag + ".pkgs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, nil, fmt.Errorf("read which packages want a reboot: %w", err)
	}
	by = slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(text)))))
	by = slices.DeleteFunc(by, func(name string) bool { return !wholly.MatchString(name) })
	return true, by, nil
}
