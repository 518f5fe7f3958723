package prune

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// system are folders that are refused with everything below them; shared are
// refused themselves, and so is what lies directly in the root of the file
// system.
//
//nolint:gochecknoglobals // constants that Go cannot spell
var (
	system = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run/systemd", "/sbin", "/sys", "/usr"}
	shared = []string{"/var/lib", "/var/log", "/var/spool", "/var/cache", "/var/backups", "/var/mail", "/var/tmp", "/run/user", "/usr/local"}
)

// forbidden says why a folder must never be a root, or nothing.
func forbidden(path string) string {
	clean := filepath.Clean(path)
	switch {
	case !filepath.IsAbs(clean):
		return fmt.Sprintf("%s is not an absolute path", path)
	case clean == "/":
		return "/ is the whole system"
	case strings.Count(clean, "/") < 2:
		return fmt.Sprintf("%s lies directly in /, where only system folders are", clean)
	case filepath.Dir(clean) == "/home":
		return fmt.Sprintf("%s is a home folder", clean)
	}
	// The home folder of the user who runs upkeep may lie anywhere; it may also
	// be unknown.
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		switch home = filepath.Clean(home); {
		case clean == home:
			return fmt.Sprintf("%s is a home folder", clean)
		case strings.HasPrefix(home, clean+"/"):
			return fmt.Sprintf("%s holds the home folder %s", clean, home)
		}
	}
	for _, s := range system {
		if clean == s || strings.HasPrefix(clean, s+"/") {
			return fmt.Sprintf("%s belongs to the system", clean)
		}
	}
	// /var/log itself is what people mean by "the logs"; it is shared by all
	// services, so a rule there must name one service's folder.
	if slices.Contains(shared, clean) && clean != "/var/log" && clean != "/var/tmp" {
		return fmt.Sprintf("%s is shared by the whole system", clean)
	}
	return ""
}

// openRoot opens the folder without following a link in its last element and
// applies the rails to where it really is.
func openRoot(path string, mountRoot bool) (*os.File, error) {
	clean := filepath.Clean(path)
	info, err := os.Lstat(clean)
	if err != nil {
		hint := "correct `root:`"
		if errors.Is(err, fs.ErrPermission) {
			hint = "let the user that runs upkeep read the folder"
		}
		return nil, jobs.WithHint(fmt.Errorf("open root: %w", err), hint)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, jobs.WithHint(&jobs.RefusedError{Rail: "root", Why: fmt.Sprintf("%s is a symbolic link", clean)}, "write the path that it points to")
	}
	resolved, err := filepath.EvalSymlinks(clean)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	if why := forbidden(resolved); why != "" {
		return nil, jobs.WithHint(&jobs.RefusedError{Rail: "root", Why: why}, "name the folder that holds only files of this sort")
	}
	fd, err := openResolved(resolved)
	if err != nil {
		return nil, jobs.WithHint(fmt.Errorf("open root %s: %w", clean, err), "root must be a folder that the user who runs upkeep may read")
	}
	root := os.NewFile(uintptr(fd), clean)
	mounted, err := isMountPoint(fd, resolved)
	if err == nil && mounted && !mountRoot {
		err = jobs.WithHint(&jobs.RefusedError{Rail: "root", Why: fmt.Sprintf("%s is a mount point", clean)},
			"set allow_mount_root: true when the volume holds only files of this sort")
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// openResolved opens a path without symbolic links in it. Where the kernel can,
// it refuses one that was put there since it was resolved.
func openResolved(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return openFolder(unix.AT_FDCWD, path)
	}
	return fd, err
}

// isMountPoint asks the kernel; kernels before 5.8 do not tell and the device
// numbers of folder and parent must do.
func isMountPoint(fd int, path string) (bool, error) {
	var x unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &x); err == nil && x.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
	}
	var here, above unix.Stat_t
	if err := unix.Fstat(fd, &here); err != nil {
		return false, fmt.Errorf("stat %s: %w", path, err)
	}
	if err := unix.Stat(filepath.Dir(path), &above); err != nil {
		return false, fmt.Errorf("stat %s: %w", filepath.Dir(path), err)
	}
	return here.Dev != above.Dev, nil
}
