package child

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	// DefaultGrace is the time between TERM and KILL when a command names none.
	DefaultGrace = 10 * time.Second
	// DefaultWaitDelay bounds the wait for leftovers when a command names none.
	DefaultWaitDelay = 2 * time.Second

	// settleTime is granted to processes which outlive the main one without
	// holding its output: long enough for the tail of a pipeline to exit.
	settleTime = 500 * time.Millisecond
	// killWait bounds the wait for the kernel to bury a killed process; one
	// that hangs in the kernel (a dead network file system) is reported.
	killWait = 5 * time.Second
)

// Command says what to run and how. It leads a session of its own, without a
// terminal, so it can ask nobody for a password. It is a value: Run and Output never change
// it, and the same Command may run many times, also at once, as long as its
// streams allow that.
type Command struct {
	// Argv is the program and its arguments; argv[0] without a slash is looked
	// up in the PATH of Env (see LookPath). It must not be empty.
	Argv []string
	// Dir is the working folder; empty means that of this process.
	Dir string
	// Env is the whole environment, KEY=VALUE each. Nothing is inherited: a nil
	// Env is an empty environment. Of entries with the same key the last wins.
	Env []string
	// Stdin is read until it ends or the command does; nil reads nothing. A
	// reader that fails ends the command with a *StreamError: the child never
	// sees the end of a cut input. Run may return while a Read is pending, so a
	// reader that can block must be closed by its owner afterwards. An *os.File
	// is handed to the child as it is.
	Stdin io.Reader
	// Stdout and Stderr take what the command writes; nil discards it. When both
	// are the same writer, the command gets one pipe, so that order is kept and
	// writes never overlap. All writes happen before Run returns; a Write must not
	// block for ever. A Write that fails ends the command with a *StreamError. An
	// *os.File is handed to the child as it is.
	Stdout, Stderr io.Writer
	// PipeBytes asks for pipes of that size for the output of the command and
	// for a Stdin that is copied, so that both sides wait for each other less
	// often; 0 means that of the system. The kernel may refuse
	// (fs.pipe-max-size), which harms nothing. With a pipe of 512 KiB or more, a
	// Reader lets the output of a command that writes small pieces gather for
	// about a millisecond, and Stdin is filled up at such intervals.
	PipeBytes int
	// WriteBytes lets the C library of the program gather so much of its
	// standard output before it writes, in place of the 4 KiB that are usual for
	// a pipe: the program is started through stdbuf of the GNU coreutils, where
	// the PATH has it. Programs that buffer by themselves, or are linked
	// statically, are not affected. 0 means nothing of the kind.
	WriteBytes int
	// User runs the command as "user" or "user:group", by name or number, with
	// the supplementary groups of that user. Only root may name another user.
	User string
	// Nice is added to the niceness of this process (-20 … 19 in total); a
	// negative one needs privilege.
	Nice int
	// Limits are set before the first instruction of the program runs.
	Limits Limits
	// Grace is the time between TERM and KILL; 0 means DefaultGrace, a negative
	// one KILL at once.
	Grace time.Duration
	// WaitDelay bounds the wait, after the main process ended, for others that
	// hold its output, and again the time these get between TERM and KILL; 0
	// means DefaultWaitDelay, a negative one no wait.
	WaitDelay time.Duration
	// Marks are entries of Env, KEY=VALUE, from the general to the particular
	// (run, job, attempt), by which the tree is found when this process is dead:
	// see KillMarked. Marks missing in Env are added to it. Their values also
	// name the cgroup, so they must not be secret.
	Marks []string
	// Survives lets the main process live on when this process dies, until
	// somebody calls KillMarked; else it dies with it. Its streams should be
	// files then, since nobody reads a pipe any more.
	Survives bool

	hooks hooks
}

// hooks are set by tests only.
type hooks struct {
	walk     bool          // no cgroup
	parent   string        // where cgroups are made
	patience time.Duration // instead of killWait
}

// Limits are resource limits of every process of a command (setrlimit(2), soft
// and hard). Zero leaves what this process has, except for Core. A limit never
// raises the hard limit this process has.
type Limits struct {
	// CPU is processor time in whole seconds, rounded up: SIGXCPU when it is
	// used up, SIGKILL five seconds later.
	CPU time.Duration
	// Files is the number of open files.
	Files uint64
	// Memory is the address space in bytes.
	Memory uint64
	// Core is the size of a core file in bytes. The default is 0, none: a core
	// file holds the secrets of the process.
	Core uint64
	// FileSize is the size in bytes a file may be written to (SIGXFSZ beyond).
	FileSize uint64
	// Processes is the number of processes of the user; it does not bind root.
	Processes uint64
}

// Shell is the argv that runs script by /bin/sh.
func Shell(script string) []string { return []string{"/bin/sh", "-c", script} }

// name is how errors call the command: argv[0] and nothing else.
func (c *Command) name() string {
	if len(c.Argv) == 0 {
		return "command"
	}
	return c.Argv[0]
}

func (c *Command) grace() time.Duration     { return orDefault(c.Grace, DefaultGrace) }
func (c *Command) waitDelay() time.Duration { return orDefault(c.WaitDelay, DefaultWaitDelay) }

// check finds what can be wrong with a command before any process exists.
func (c *Command) check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("no program given")
	}
	for i, arg := range c.Argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return fmt.Errorf("argument %d holds a NUL byte", i)
		}
	}
	for i, entry := range c.Env {
		if key, _, ok := strings.Cut(entry, "="); !ok || key == "" || strings.IndexByte(entry, 0) >= 0 {
			return fmt.Errorf("environment entry %d is not KEY=VALUE", i)
		}
	}
	return checkMarks(c.Marks)
}

// environ is the exact environment of the child: Env with the marks it lacks,
// one entry a key.
func (c *Command) environ() []string {
	env := make([]string, 0, len(c.Env)+len(c.Marks))
	seen := make(map[string]bool, cap(env))
	for _, entry := range slices.Backward(slices.Concat(c.Env, c.Marks)) {
		key, _, _ := strings.Cut(entry, "=")
		if !seen[key] {
			seen[key] = true
			env = append(env, entry)
		}
	}
	slices.Reverse(env)
	return env
}

// checkMarks refuses marks that would match more than one command's processes
// by accident: an empty key or value.
func checkMarks(marks []string) error {
	for i, mark := range marks {
		key, value, ok := strings.Cut(mark, "=")
		if !ok || key == "" || value == "" || strings.IndexByte(mark, 0) >= 0 {
			return fmt.Errorf("mark %d is not KEY=VALUE", i)
		}
	}
	return nil
}

// orDefault reads the house convention of Command: 0 is the default, a
// negative duration is none.
func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}
