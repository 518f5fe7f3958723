package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrElsewhere tells that this process cannot see whether another is alive: it
// belongs to another host or container, or is hidden.
var ErrElsewhere = errors.New("that process cannot be seen from here")

// Identity names one process among all that ever were: process numbers are used
// again, and hosts restart. Its text form fits into a lock or a ledger row.
type Identity struct {
	// Host is the host name.
	Host string
	// Machine is /etc/machine-id, or empty.
	Machine string
	// Boot is the random id of the host's boot (/proc/sys/kernel/random/boot_id).
	Boot string
	// Namespace is the number of the pid namespace: containers count by themselves.
	Namespace uint64
	// PID is the process number in that namespace.
	PID int
	// Start is the start of the process in clock ticks since boot (proc(5), stat
	// field 22).
	Start uint64
}

// Self is the identity of this process.
func Self() (Identity, error) { return IdentityOf(os.Getpid()) }

// IdentityOf is the identity of a living process of this pid namespace;
// fs.ErrNotExist tells that there is none.
func IdentityOf(pid int) (Identity, error) {
	id, err := here()
	if err != nil {
		return Identity{}, err
	}
	p, err := stat(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	id.PID, id.Start = pid, p.start
	return id, nil
}

// here is the part that all processes of this host and container share.
func here() (Identity, error) {
	host, err := os.Hostname()
	if err != nil {
		return Identity{}, fmt.Errorf("identify this host: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, fmt.Errorf("identify this boot: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		return Identity{}, fmt.Errorf("identify this pid namespace: %w", err)
	}
	id := Identity{Host: host, Boot: strings.TrimSpace(string(boot)), Namespace: ns.Ino}
	if machine, err := os.ReadFile("/etc/machine-id"); err == nil {
		id.Machine = strings.TrimSpace(string(machine))
	}
	return id, nil
}

// Alive tells whether the process still lives; a zombie does not. A process of an
// earlier boot of this host is dead. The error is ErrElsewhere when nobody can
// tell from here: then only time can (a lease), not this function.
func Alive(id Identity) (bool, error) {
	local, err := here()
	if err != nil {
		return false, err
	}
	switch {
	case id.Boot != local.Boot && id.Host == local.Host && id.Machine == local.Machine:
		return false, nil
	case id.Boot != local.Boot, id.Namespace != local.Namespace:
		return false, fmt.Errorf("%w: process %d on %s", ErrElsewhere, id.PID, id.Host)
	}
	p, err := stat(id.PID)
	switch {
	case err == nil:
		return p.start == id.Start && !p.dead(), nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(unix.Kill(id.PID, 0), unix.ESRCH):
		return false, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // hidden (hidepid)
		return false, fmt.Errorf("%w: process %d", ErrElsewhere, id.PID)
	}
	return false, err
}

// String is the text form: the six fields with slashes between them.
func (id Identity) String() string {
	return fmt.Sprintf("%s/%s/%s/%d/%d/%d", id.Host, id.Machine, id.Boot, id.Namespace, id.PID, id.Start)
}

// ParseIdentity reads the text form.
func ParseIdentity(text string) (Identity, error) {
	fields := strings.Split(text, "/")
	if len(fields) != 6 {
		return Identity{}, fmt.Errorf("parse process identity: %d fields instead of 6", len(fields))
	}
	namespace, err1 := strconv.ParseUint(fields[3], 10, 64)
	pid, err2 := strconv.ParseInt(fields[4], 10, 32)
	start, err3 := strconv.ParseUint(fields[5], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Identity{}, fmt.Errorf("parse process identity: %w", err)
	}
	if pid <= 0 || fields[2] == "" {
		return Identity{}, errors.New("parse process identity: no process or no boot")
	}
	return Identity{
		Host: fields[0], Machine: fields[1], Boot: fields[2],
		Namespace: namespace, PID: int(pid), Start: start,
	}, nil
}

// MarshalText is the text form.
func (id Identity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *Identity) UnmarshalText(text []byte) error {
	parsed, err := ParseIdentity(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// Booting is one start of this host.
type Booting struct {
	// ID is the random id of the boot.
	ID string
	// At is when it was, in whole seconds, as the present clock tells it.
	At time.Time
}

// Boot is the start of this host that lasts.
func Boot() (Booting, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Booting{}, fmt.Errorf("identify this boot: %w", err)
	}
	at, err := bootTime()
	if err != nil {
		return Booting{}, fmt.Errorf("identify this boot: %w", err)
	}
	return Booting{ID: strings.TrimSpace(string(id)), At: at}, nil
}
