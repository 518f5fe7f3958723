package child

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host is what this process can do for its children; there is one of it.
type host struct {
	family *family
	parent string // the cgroup below which commands get theirs, or empty
	seq    atomic.Uint64
}

// thisProcess mirrors state that the kernel keeps once per process: the list of
// children, the subreaper flag, the core limit. Two of it would take each other's
// children for orphans.
var thisProcess = sync.OnceValue( //nolint:gochecknoglobals // see above
	func() *host {
		dropCore()
		return &host{family: newFamily(), parent: cgroupParent()}
	})

// running is one command from its start to its end.
type running struct {
	cmd     Command
	host    *host
	streams *streams
	main    *member
	tree    tree
	path    string   // the program to execute, and
	argv    []string // its arguments
	limits  []rlimit

	began  time.Time
	exited chan struct{} // closed when the main process has ended; it is not reaped yet
	ended  time.Time     // valid then

	exit    Exit
	stop    error // why Run ended the command: *StopError or *StreamError
	held    bool  // others held the output when they were ended
	lost    bool  // the output is still held
	left    error // *LeftoverError
	escaped map[process]bool
}

// start brings a command to life. On an error nothing is left of it.
func start(ctx context.Context, c Command, reader bool) (*running, error) {
	r := &running{cmd: c, host: thisProcess(), exited: make(chan struct{}), escaped: map[process]bool{}}
	refuse := func(err error) error {
		if _, ok := errors.AsType[*StartError](err); ok {
			return err
		}
		return &StartError{Name: c.name(), Err: err}
	}
	if err := c.check(); err != nil {
		return nil, refuse(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, &StopError{Name: c.name(), Cause: context.Cause(ctx), ctx: err}
	}
	attr, err := r.plan()
	if err != nil {
		return nil, refuse(err)
	}
	if r.streams, err = openStreams(&r.cmd, reader); err != nil {
		return nil, refuse(err)
	}
	if attr.Files, err = r.streams.descriptors(); err == nil {
		r.main = &member{marks: c.Marks, inodes: r.streams.inodes()}
		r.began = time.Now()
		err = r.spawn(attr)
	}
	if err != nil {
		r.streams.abandon()
		return nil, refuse(err)
	}
	r.streams.begin()
	return r, nil
}

// plan resolves everything that can be wrong before the fork.
func (r *running) plan() (*syscall.ProcAttr, error) {
	c := &r.cmd
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.environ(), Sys: &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL,
	}}
	if c.Survives {
		attr.Sys.Pdeathsig = 0
	}
	if c.Dir != "" {
		info, err := os.Stat(c.Dir)
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			return nil, &StartError{
				Name: c.name(), Doing: "enter " + c.Dir, Err: cause(err),
				hint: "the working folder must exist and be open to the user who runs the command",
			}
		}
	}
	if c.User != "" {
		var err error
		if attr.Sys.Credential, err = credential(c.User); err != nil {
			return nil, err
		}
	}
	var err error
	if r.path, err = LookPath(c.Argv[0], attr.Env, c.Dir); err != nil {
		return nil, cause(err)
	}
	if r.path, err = filepath.Abs(r.path); err != nil {
		return nil, err
	}
	r.argv = c.Argv
	r.buffer(attr.Env)
	r.limits = c.Limits.list()
	attr.Sys.Ptrace = len(r.limits) > 0 && traceable(r.path)
	return attr, nil
}

// buffer puts stdbuf in front of the program, if that is wanted and there. It
// becomes the program itself (exec), so the tree stays as it is.
func (r *running) buffer(env []string) {
	if r.cmd.WriteBytes <= 0 {
		return
	}
	stdbuf, err := LookPath("stdbuf", env, "")
	if err != nil {
		return // slower, and nothing else
	}
	r.argv = append([]string{"stdbuf", "-o" + strconv.Itoa(r.cmd.WriteBytes), r.path}, r.cmd.Argv[1:]...)
	r.path = stdbuf
}

// credential is nil when the command runs as the user this process has anyway.
func credential(spec string) (*syscall.Credential, error) {
	a, err := LookupUser(spec)
	if err != nil {
		return nil, err
	}
	if int(a.UID) == os.Geteuid() && int(a.GID) == os.Getegid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("run as %s: %w", spec, &permissionError{"only root may run a command as another user"})
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}, nil
}

// permissionError is an fs.ErrPermission with a text of its own.
type permissionError struct{ text string }

func (e *permissionError) Error() string        { return e.text }
func (e *permissionError) Is(target error) bool { return target == fs.ErrPermission }

// spawn starts the main process, in a cgroup when one can be had.
func (r *running) spawn(attr *syscall.ProcAttr) error {
	family := r.host.family
	parent := r.host.parent
	if r.cmd.hooks.parent != "" {
		parent = r.cmd.hooks.parent
	}
	// What outlives this process may move to a cgroup of its own.
	if parent != "" && !r.cmd.hooks.walk && !r.cmd.Survives {
		t, err := newCgroup(parent, r.cmd.Marks, &r.host.seq)
		if err == nil {
			t.family, t.main, t.exited, r.tree = family, r.main, r.hasExited, t
			attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, t.fd
			if err = r.launch(attr); err == nil {
				t.close()
				r.exit.Cgroup = true
				return nil
			}
			attr.Sys.UseCgroupFD = false
			if rerr := t.release(); rerr != nil {
				return errors.Join(err, rerr)
			}
			if !cgroupRefused(err) || unix.Access(r.path, unix.X_OK) != nil {
				return err
			}
		}
	}
	if err := family.adopt(); err != nil {
		return err
	}
	r.tree = &walkTree{family: family, main: r.main, exited: r.hasExited, known: map[process]bool{}}
	return r.launch(attr)
}

// cgroupRefused tells whether a start may have failed because of its cgroup: the
// kernel, a filter or the kind of the parent cgroup may forbid to fork into it.
func cgroupRefused(err error) bool {
	for _, number := range []error{
		syscall.EBUSY, syscall.EOPNOTSUPP, syscall.EACCES, syscall.EPERM, syscall.ENOSYS, syscall.ENODEV,
	} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// launch starts the main process and returns when its program runs. A file that
// somebody is still writing gets a moment: often it is this process, which holds
// a copy of a descriptor in a child that has not reached its exec.
func (r *running) launch(attr *syscall.ProcAttr) error {
	for pause := time.Millisecond; ; pause *= 2 {
		up := make(chan error)
		go r.lead(attr, up)
		err := <-up
		if !errors.Is(err, syscall.ETXTBSY) || pause > 64*time.Millisecond {
			return r.explain(err, attr)
		}
		time.Sleep(pause)
	}
}

// lead keeps the thread that starts the child for as long as the child lives: the
// kernel sends the parent's death signal when the thread ends, not the process.
func (r *running) lead(attr *syscall.ProcAttr, up chan<- error) {
	runtime.LockOSThread()
	spoiled := r.cmd.Nice != 0
	defer func() {
		if !spoiled { // else the thread ends with this goroutine
			runtime.UnlockOSThread()
		}
	}()
	if spoiled {
		if err := renice(r.cmd.Nice); err != nil {
			up <- err
			return
		}
	}
	err := r.host.family.bear(r.main, func() (pid int, err error) {
		var bad bool
		pid, bad, err = r.fork(attr)
		spoiled = spoiled || bad
		return pid, err
	})
	up <- err
	if err != nil {
		return
	}
	if r.cmd.Nice != 0 {
		reniceSession(r.main.pid, r.cmd.Nice)
	}
	awaitExit(r.main.pid)
	r.ended = time.Now()
	close(r.exited)
}

// fork starts the child and sets its limits before its first instruction. Where
// tracing is forbidden (Yama, seccomp) they are set right after its start.
func (r *running) fork(attr *syscall.ProcAttr) (pid int, spoiled bool, err error) {
	pid, err = syscall.ForkExec(r.path, r.argv, attr)
	if attr.Sys.Ptrace && errors.Is(err, syscall.EPERM) {
		attr.Sys.Ptrace = false
		pid, err = syscall.ForkExec(r.path, r.argv, attr)
	}
	if err != nil || len(r.limits) == 0 {
		return pid, false, err
	}
	if attr.Sys.Ptrace {
		spoiled, err = passGate(pid, attr.Sys.Credential, r.limits)
		return pid, spoiled, err
	}
	if spoiled, err = setLimitsOf(attr.Sys.Credential, pid, r.limits); err != nil {
		err = errors.Join(err, destroy(pid))
	}
	return pid, spoiled, err
}

// explain says what an error of exec means; the kernel's own words mislead.
func (r *running) explain(err error, attr *syscall.ProcAttr) error {
	if err == nil {
		return nil
	}
	failed := &StartError{Name: r.cmd.name(), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist) && executable(r.path) == nil:
		failed.Doing = "its interpreter"
		failed.hint = "the first line of the script names a program that does not exist, or the binary's loader is missing"
	case errors.Is(err, fs.ErrPermission) && len(r.limits) > 0 && executable(r.path) == nil:
		failed.hint = "limits cannot be set for a program that changes its user; limit what it starts instead"
	case errors.Is(err, fs.ErrPermission) && attr.Sys.Credential != nil:
		failed.hint = "the program, its working folder and the folders above both must be open to user " + r.cmd.User
	}
	return failed
}

func (r *running) hasExited() bool {
	select {
	case <-r.exited:
		return true
	default:
		return false
	}
}

// awaitExit returns when the process has ended and leaves it to be reaped: until
// then its number, and that of its group, belong to it.
func awaitExit(pid int) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// cause drops the operation and path that the surrounding error tells anyway.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}
