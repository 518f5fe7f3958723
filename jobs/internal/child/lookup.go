package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// defaultPath is searched when the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LookPath finds the program a command would run: name itself when it holds a
// slash (relative to dir, or to the working folder of this process when dir is
// empty), else the first executable file of that name in the PATH of env. Folders
// of PATH that are not absolute are passed over. The error is an ErrNotFound, or
// fs.ErrPermission when files of that name exist but none may be executed.
func LookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return path, executable(path)
	}
	list := defaultPath
	for _, entry := range env {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			list = path
		}
	}
	err := fmt.Errorf("%w: %w", ErrNotFound, fs.ErrNotExist)
	for _, folder := range filepath.SplitList(list) {
		if !filepath.IsAbs(folder) {
			continue
		}
		path := filepath.Join(folder, name)
		switch found := executable(path); {
		case found == nil:
			return path, nil
		case errors.Is(found, fs.ErrPermission):
			err = found
		}
	}
	return "", err
}

// executable tells whether somebody may execute the file; who may is left to the
// kernel.
func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return &fs.PathError{Op: "execute", Path: path, Err: fs.ErrPermission}
	}
	return nil
}

// Account is a user a command can run as.
type Account struct {
	// Name is the login name, or the number when the user has no account.
	Name string
	// UID and GID are the user and the primary group.
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// Home is the home folder, or empty.
	Home string
}

// LookupUser resolves the User of a command: "user" or "user:group", each by name
// or number. Only a numeric user with a group needs no account.
func LookupUser(spec string) (Account, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" || hasGroup && group == "" {
		return Account{}, fmt.Errorf("user %q is neither USER nor USER:GROUP", spec)
	}
	var a Account
	account, err := user.Lookup(name)
	uid, numeric := number(name)
	if err != nil && numeric {
		account, err = user.LookupId(name)
	}
	switch {
	case err == nil:
		if a, err = fromAccount(account); err != nil {
			return Account{}, fmt.Errorf("user %s: %w", name, err)
		}
	case numeric && hasGroup:
		a = Account{Name: name, UID: uid}
	case numeric:
		return Account{}, fmt.Errorf("user %s has no account: write %s:GROUP", name, name)
	default:
		return Account{}, fmt.Errorf("user %s: %w", name, err)
	}
	if hasGroup {
		if a.GID, err = lookupGroup(group); err != nil {
			return Account{}, err
		}
	}
	return a, nil
}

func fromAccount(u *user.User) (Account, error) {
	a := Account{Name: u.Username, Home: u.HomeDir}
	var ok bool
	if a.UID, ok = number(u.Uid); !ok {
		return a, fmt.Errorf("its number is %q", u.Uid)
	}
	if a.GID, ok = number(u.Gid); !ok {
		return a, fmt.Errorf("its group is %q", u.Gid)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return a, fmt.Errorf("its groups: %w", err)
	}
	for _, g := range groups {
		if gid, ok := number(g); ok && !slices.Contains(a.Groups, gid) {
			a.Groups = append(a.Groups, gid)
		}
	}
	return a, nil
}

func lookupGroup(name string) (uint32, error) {
	gid, numeric := number(name)
	if g, err := user.LookupGroup(name); err == nil {
		if gid, ok := number(g.Gid); ok {
			return gid, nil
		}
		return 0, fmt.Errorf("group %s: its number is %q", name, g.Gid)
	} else if !numeric {
		return 0, fmt.Errorf("group %s: %w", name, err)
	}
	return gid, nil
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1 // that one means "no change" to setuid(2)
}
