package prune

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// inode identifies a file on this machine.
type inode struct{ device, number uint64 }

// host is what the operating system offers. Tests put worse ones in its place.
type host struct {
	// lease asks for a write lease on an open file.
	lease func(fd int) error
	// proc is where the processes are listed, sys where the devices are.
	proc, sys string
	// open opens a folder by its path below another one.
	open func(parent int, below string) (int, error)
	// clock is now as file systems note it, in nanoseconds since 1970; tick
	// measures how old a look at the processes is.
	clock func() int64
	tick  func() time.Time
	// remember is how much memory a survey may take for what it found, bytes.
	remember int64
	// rank is how many files are sorted by age at once.
	rank int
	// untyped tells that folders do not say of what type their entries are.
	untyped bool
}

// thisHost is the machine as it is.
func thisHost() host {
	return host{lease: lease, proc: "/proc", sys: "/sys", open: openBelow, clock: coarse, tick: time.Now, remember: roomToRemember, rank: mostRanked}
}

// coarse is the clock from which the kernel takes the times of files,
// CLOCK_REALTIME_COARSE, in nanoseconds since 1970.
func coarse() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return time.Now().UnixNano()
	}
	return now.Nano()
}

// lease asks for a write lease (fcntl(2), F_SETLEASE), which the kernel refuses
// with EAGAIN while anybody else on this machine has the file open, for reading
// or writing, or mapped into memory.
func lease(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	return err
}

// network tells whether a file system refuses leases also when it holds no
// delegation from its server, so that a refusal says nothing.
func network(fd int) bool {
	var where unix.Statfs_t
	if err := unix.Fstatfs(fd, &where); err != nil {
		return true
	}
	switch int64(where.Type) { //nolint:unconvert // its type differs between architectures
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return true
	}
	return false
}

// lookAgain is how old a look at the processes may be at least before there is
// another; lookShare bounds the share of the time that goes into looking.
const (
	lookAgain = 250 * time.Millisecond
	lookShare = 20
)

// opened knows which files are open. It is safe for several goroutines.
//
// The exact answer is a lease, which the kernel refuses while anybody has the
// file open; it costs three system calls a file, as much as deleting it. So
// where this process can see all others, a look at what they have open, at most
// a quarter of a second old, clears most files, and only the suspects are asked
// for a lease. Where it cannot (another user than root, a container, users
// inside the kernel such as an NFS server) every file is. Neither keeps anybody
// from opening the file in the very moment in which it goes: who does so has a
// file without a name, after a lease too.
type opened struct {
	host host
	// leases tells whether a lease that is refused with EAGAIN means anything.
	leases bool

	// probing is held for reading while this process itself has a file open to
	// ask for a lease, and for writing while it looks at the processes.
	probing sync.RWMutex
	latest  atomic.Pointer[usage]
}

// none is no descriptor.
const none = -1

// hold makes sure that nobody uses a file, or returns why it must stay. It
// returns a descriptor of the file, for release, when it had to open it for a
// lease, or was told to by exact; until then the lease holds.
func (o *opened) hold(dir int, name string, file inode, exact bool) (fd int, why string, err error) {
	now := o.current()
	if now.whole() && !now.suspects(file) && !exact {
		return none, "", nil
	}
	o.probing.RLock()
	fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		return fd, o.busy(fd, now, file), nil
	}
	o.probing.RUnlock()
	switch {
	case errors.Is(err, unix.ENOENT):
		return none, skipGone, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return none, skipChanged, nil
	}
	return none, "", err
}

// release ends what hold began. Closing gives the lease back too.
func (o *opened) release(fd int) error {
	if fd == none {
		return nil
	}
	defer o.probing.RUnlock()
	return unix.Close(fd)
}

// busy tells whether anybody else has the file open, or whether that cannot be
// told, as a reason to skip it.
func (o *opened) busy(fd int, now *usage, file inode) (why string) {
	if o.leases {
		switch err := o.host.lease(fd); {
		case err == nil:
			return ""
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
			return skipOpen
		}
	}
	// No lease for whatever reason: only root and the file's owner get one, and
	// not all file systems give any.
	switch {
	case now.suspects(file):
		return skipOpen
	case now.partial:
		// A process of somebody else may hold it open, and that cannot be
		// seen: deleting would be a guess.
		return skipUndecided
	}
	return ""
}

// current is a look at the processes that is young enough. A look that does not
// decide anything is never repeated.
func (o *opened) current() *usage {
	if u := o.latest.Load(); u != nil && (!u.whole() || o.host.tick().Sub(u.at) < max(lookAgain, lookShare*u.cost)) {
		return u
	}
	o.probing.Lock()
	defer o.probing.Unlock()
	if u := o.latest.Load(); u != nil && (!u.whole() || o.host.tick().Sub(u.at) < max(lookAgain, lookShare*u.cost)) {
		return u
	}
	u := o.host.look()
	o.latest.Store(u)
	return u
}
