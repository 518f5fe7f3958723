package retrain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// The layout of a model's folder.
const (
	versionsName = "versions"
	currentName  = "current"
	nextName     = ".current.new" // the link before it takes its place
	newPrefix    = ".new-"        // a version before it has its manifest
	deadPrefix   = ".removing-"   // a version under removal
)

// model is the open folder of a model, held by this run alone. Nothing in it is
// reached through a link that leads out of it.
type model struct {
	name, path string
	root       *os.Root
	lock       *os.File
}

// openModel opens the folder and keeps other runs out, also those of another
// process of upkeep on this machine.
func openModel(name, folder string) (_ *model, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the model: %w", err)
	}
	m := &model{name: name, path: folder, root: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.lock, err = root.Open("."); err != nil {
		return nil, fmt.Errorf("open the folder of the model: %w", err)
	}
	if err := unix.Flock(int(m.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("another run is at work on it")
		}
		return nil, jobs.WithHint(fmt.Errorf("lock model %s: %w", name, err), "try again when the other run has ended")
	}
	return m, nil
}

func (m *model) close() error {
	var err error
	if m.lock != nil {
		// A child that is being started holds a copy for a moment, so that
		// closing alone would not free it.
		err = errors.Join(unix.Flock(int(m.lock.Fd()), unix.LOCK_UN), m.lock.Close())
	}
	return errors.Join(err, m.root.Close())
}

// sync makes the names in a folder durable.
func (m *model) sync(folder string) error {
	f, err := m.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// current is where the link points, as it is written; empty without one.
func (m *model) current() (string, error) {
	info, err := m.root.Lstat(currentName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look at the model in use: %w", err)
	case info.Mode()&fs.ModeSymlink == 0:
		return "", &jobs.RefusedError{Rail: currentName, Why: m.at(currentName) + " is not a link, so no version can take its place; move it to " + m.at(versionsName) + " and link it"}
	}
	target, err := m.root.Readlink(currentName)
	if err != nil {
		return "", fmt.Errorf("look at the model in use: %w", err)
	}
	return target, nil
}

// at is a path below the model's folder as others see it.
func (m *model) at(name string) string { return filepath.Join(m.path, name) }

// linkTo is what the link says when a version is in use.
func linkTo(version string) string { return path.Join(versionsName, version) }

// versionOf is the version that a link stands for; for one that somebody else
// made, it is the link itself.
func versionOf(link string) string {
	if v, ok := strings.CutPrefix(link, versionsName+"/"); ok {
		return v
	}
	return link
}

// folderOf is the folder that a link leads to.
func (m *model) folderOf(link string) string {
	if filepath.IsAbs(link) {
		return link
	}
	return m.at(link)
}

// point makes the link say target, at once and durably; an empty one removes it.
func (m *model) point(target string) error {
	err := m.root.Remove(nextName)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	switch {
	case err != nil:
	case target == "":
		if err = m.root.Remove(currentName); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	default:
		if err = m.root.Symlink(target, nextName); err == nil {
			err = m.root.Rename(nextName, currentName)
		}
	}
	if err == nil {
		err = m.sync(".")
	}
	if err != nil {
		return fmt.Errorf("point %s at %q: %w", m.at(currentName), target, err)
	}
	return nil
}

// versions are ours, newest first. What lacks a manifest of its own name is
// somebody else's and left alone.
func (m *model) versions() ([]*manifest, error) {
	names, err := m.names(versionsName)
	if err != nil {
		return nil, err
	}
	var out []*manifest
	for _, name := range names {
		if !versionName.MatchString(name) {
			continue
		}
		if v, err := m.readManifest(path.Join(versionsName, name)); err == nil && v.Version == name {
			out = append(out, v)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// names are the real folders in a folder, sorted.
func (m *model) names(folder string) (names []string, err error) {
	f, err := m.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", m.at(folder), err)
	}
	entries, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("list %s: %w", m.at(folder), err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// remains are the folders that a killed run left: versions that were not
// trained to the end, and such as were being made or removed. No other run is
// alive, because this one holds the model.
func (m *model) remains() ([]string, error) {
	names, err := m.names(versionsName)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		folder := path.Join(versionsName, name)
		bare := strings.TrimPrefix(strings.TrimPrefix(name, newPrefix), deadPrefix)
		if !versionName.MatchString(bare) {
			continue
		}
		v, err := m.readManifest(folder)
		switch {
		case err == nil && v.Version == bare && (bare != name || v.State == stateTraining):
			out = append(out, folder)
		case bare != name && m.bare(folder):
			out = append(out, folder)
		}
	}
	return out, nil
}

// bare tells whether a folder holds nothing but what writing a manifest leaves.
func (m *model) bare(folder string) bool {
	f, err := m.root.Open(folder)
	if err != nil {
		return false
	}
	entries, err := f.ReadDir(-1)
	return errors.Join(err, f.Close()) == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() != manifestName+".new"
	})
}

// remove removes the folder of a version, its manifest last, so that a removal
// that is cut short can be gone on with.
func (m *model) remove(folder string) error {
	bare := strings.TrimPrefix(strings.TrimPrefix(path.Base(folder), newPrefix), deadPrefix)
	dead := path.Join(versionsName, deadPrefix+bare)
	if folder != dead {
		if err := m.root.Rename(folder, dead); err != nil {
			return fmt.Errorf("remove %s: %w", m.at(folder), err)
		}
	}
	f, err := m.root.Open(dead)
	if err != nil {
		return fmt.Errorf("remove %s: %w", m.at(folder), err)
	}
	entries, err := f.ReadDir(-1)
	err = errors.Join(err, f.Close())
	for _, e := range entries {
		if e.Name() != manifestName {
			err = errors.Join(err, m.root.RemoveAll(path.Join(dead, e.Name())))
		}
	}
	if err == nil {
		err = errors.Join(m.root.RemoveAll(dead), m.sync(versionsName))
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", m.at(folder), err)
	}
	return nil
}
