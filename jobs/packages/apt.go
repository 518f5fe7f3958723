package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const (
	// mostSaid bounds what is read of a program that tells facts.
	mostSaid = 64 << 20
	// lockTry is how long one try waits for a lock by itself; between tries the
	// job can be stopped.
	lockTry = 5 * time.Second
	// lockPause is the time between two tries.
	lockPause = time.Second
)

// apt is the package system of Debian and its descendants.
type apt struct {
	env     *jobs.Env
	options Options
	environ []string
	dirs    map[string]string // as apt-config tells them
	force   []string          // what apt tells dpkg
	native  string            // this host's architecture
}

var _ system = (*apt)(nil)

// newApt finds out how apt is set up here.
func newApt(ctx context.Context, env *jobs.Env, o Options) (*apt, error) {
	a := &apt{env: env, options: o, environ: environ(env, o)}
	text, err := a.ask(ctx, "apt-config", "shell", "ROOT", "Dir/d", "STATUS", "Dir::State::status/f",
		"ARCHIVES", "Dir::Cache::archives/d", "LISTS", "Dir::State::lists/d")
	if err != nil {
		return nil, err
	}
	a.dirs = readShell(text)
	for _, name := range []string{"STATUS", "ARCHIVES", "LISTS"} {
		if a.dirs[name] == "" {
			return nil, fmt.Errorf("apt-config does not say where %s is", strings.ToLower(name))
		}
	}
	if text, err = a.ask(ctx, "apt-config", "dump", "--no-empty", "--format", "%v%n", "DPkg::Options"); err != nil {
		return nil, err
	}
	a.force = strings.Fields(text)
	native, err := a.ask(ctx, "dpkg", "--print-architecture")
	a.native = strings.TrimSpace(native)
	return a, err
}

// environ makes programs speak the C locale and ask nobody anything. dpkg
// needs the folders of root in PATH, which users lack.
func environ(env *jobs.Env, o Options) []string {
	out := env.Environ()
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, entry := range out {
		if own, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = own + ":/usr/sbin:/sbin:/usr/bin:/bin"
		}
	}
	out = append(out, "PATH="+path, "LC_ALL=C", "LANGUAGE=", "DEBIAN_FRONTEND=noninteractive", "DEBIAN_PRIORITY=critical",
		"NEEDRESTART_MODE=l", "APT_LISTCHANGES_FRONTEND=none", "UCF_FORCE_CONFFOLD=1")
	if o.Conffiles == conffilesNew {
		out = append(out[:len(out)-1], "UCF_FORCE_CONFFNEW=1")
	}
	if o.Config != "" {
		out = append(out, "APT_CONFIG="+string(o.Config))
	}
	return out
}

// limited keeps what is written up to a bound.
type limited struct {
	buf   bytes.Buffer
	limit int
}

var errTooMuch = errors.New("it said more than can be read")

func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > l.limit {
		return 0, errTooMuch
	}
	return l.buf.Write(p)
}

// saidError is a program that failed and the line that says why.
type saidError struct {
	err  error
	line string
	// locked tells that another process held a lock.
	locked bool
}

func (e *saidError) Error() string {
	if e.line == "" {
		return e.err.Error()
	}
	return e.err.Error() + ": " + e.line
}

func (e *saidError) Unwrap() error { return e.err }

// Hint says what a person can do.
func (e *saidError) Hint() string {
	if e.locked {
		return "find out who installs packages (ps -C apt-get,apt,dpkg,unattended-upgr), or give it more time with `lock_wait`"
	}
	return ""
}

// Explain implements system.
func (a *apt) Explain(err error, said string) error {
	if err == nil {
		return nil
	}
	said = a.env.Scrub(said)
	return &saidError{err: err, line: a.env.OneLine(lastError(said)), locked: lockTaken.MatchString(said)}
}

// command is a program without its streams.
func (a *apt) command(argv []string) child.Command {
	cmd := child.Command{Argv: argv, Dir: "/", Env: a.environ, Grace: a.env.KillGrace}
	if a.env.RunID != "" { // a check before any run has no marks
		cmd.Marks = a.env.Marks()
	}
	return cmd
}

// ask runs a program that tells facts and returns what it writes.
func (a *apt) ask(ctx context.Context, argv ...string) (string, error) {
	out, said := &limited{limit: mostSaid}, &limited{limit: mostSaid}
	cmd := a.command(argv)
	cmd.Stdout, cmd.Stderr = out, said
	_, err := child.Run(ctx, cmd)
	return out.buf.String(), a.Explain(err, said.buf.String())
}

// do runs a program that changes the host but can be ended at any time, and
// waits while another one holds a lock. Its output is passed on.
func (a *apt) do(ctx context.Context, argv []string) (said string, err error) {
	err = whileLocked(ctx, a.env, a.options.LockWait, func() error {
		words := &limited{limit: mostSaid}
		cmd := a.command(argv)
		cmd.Stdout = io.MultiWriter(a.env.Out, words)
		cmd.Stderr = cmd.Stdout
		_, err := child.Run(ctx, cmd)
		said = words.buf.String()
		return a.Explain(err, said)
	})
	return said, err
}

// get is apt-get with what every call of it needs.
func (a *apt) get(args ...string) []string {
	wait := min(a.options.LockWait.Std(), lockTry)
	return slices.Concat([]string{
		"apt-get", "-q", "-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(wait.Seconds())),
		"-o", "Dpkg::Use-Pty=0", "-o", "APT::Get::Show-User-Simulation-Note=false",
	}, args)
}

// caches are the settings that keep apt's caches out of the host, in the
// private folder of the attempt: without any, each program reads all lists
// anew.
func (a *apt) caches() []string {
	private := func(name string) string {
		if a.env.WorkDir == "" {
			return ""
		}
		return filepath.Join(a.env.WorkDir, name)
	}
	return []string{"-o", "Dir::Cache::pkgcache=" + private("pkgcache.bin"), "-o", "Dir::Cache::srcpkgcache=" + private("srcpkgcache.bin")}
}

// pure is apt-get that changes nothing on the host.
func (a *apt) pure(args ...string) []string {
	return a.get(slices.Concat(a.caches(), []string{"-o", "Dir::Log::Planner=/dev/null", "-o", "Debug::NoLocking=1"}, args)...)
}

// exactly names packages with the versions that they shall get. What is not
// installed yet comes along with them.
func exactly(changes []change) []string {
	var out []string
	for _, c := range changes {
		if c.Old != "" {
			out = append(out, c.Name+"="+c.New)
		}
	}
	return out
}

// Refresh implements system.
func (a *apt) Refresh(ctx context.Context) error {
	said, err := a.do(ctx, a.get("-o", "APT::Update::Error-Mode=any", "update"))
	if err == nil {
		if line := failedFetch.FindString(a.env.Scrub(said)); line != "" {
			err = errors.New(a.env.OneLine(line))
		}
	}
	if err != nil {
		return fmt.Errorf("fetch the package lists: %w", err)
	}
	return nil
}

// Preview implements system.
func (a *apt) Preview(ctx context.Context, only []change) (preview, error) {
	verb := []string{"-s", "upgrade", "--with-new-pkgs"}
	switch {
	case only != nil:
		verb = slices.Concat([]string{"-s", "install", "--only-upgrade"}, exactly(only))
	case a.options.Full:
		verb = []string{"-s", "dist-upgrade"}
	case !a.options.NewPackages:
		verb = []string{"-s", "upgrade", "--without-new-pkgs"}
	}
	text, err := a.ask(ctx, a.pure(verb...)...)
	if err != nil {
		return preview{}, fmt.Errorf("simulate the upgrade: %w", err)
	}
	p, err := readSimulation(text)
	if err != nil || only != nil || len(p.KeptBack) == 0 {
		return p, err
	}
	// What is kept back shows its origin in a simulation that keeps nothing back.
	if text, err = a.ask(ctx, a.pure("-s", "dist-upgrade", "--ignore-hold")...); err != nil {
		return preview{}, fmt.Errorf("ask what is kept back: %w", err)
	}
	all, err := readSimulation(text)
	for _, c := range all.Changes {
		if slices.Contains(p.KeptBack, c.Name) {
			p.Withheld = append(p.Withheld, c)
		}
	}
	return p, err
}

// admin is the folder with dpkg's own files.
func (a *apt) admin() string { return filepath.Dir(a.dirs["STATUS"]) }

// State implements system. Beside the states of packages it looks for the
// journal of a dpkg that died, as apt-get does.
func (a *apt) State(ctx context.Context) (installed map[string]string, broken []string, err error) {
	text, err := a.ask(ctx, "dpkg-query", "--admindir="+a.admin(), "-W",
		"-f", "${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n")
	if err != nil {
		return nil, nil, fmt.Errorf("list the installed packages: %w", err)
	}
	if installed, broken, err = readStatus(text, a.native); err != nil {
		return nil, nil, err
	}
	journal, err := os.ReadDir(filepath.Join(a.admin(), "updates"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("look for a dpkg that died: %w", err)
	}
	for _, entry := range journal {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			return installed, append(broken, "dpkg was interrupted"), nil
		}
	}
	return installed, broken, nil
}

// Command implements system.
func (a *apt) Command(s step, changes []change) child.Command {
	// --force-confdef takes the default of dpkg, which is to keep what was changed
	// here, wherever there is one.
	force := []string{"--force-confdef", "--force-confold"}
	if a.options.Conffiles == conffilesNew {
		force = []string{"--force-confnew"}
	}
	if s == stepRepair {
		return a.command(slices.Concat([]string{"dpkg"}, a.force, []string{"--admindir=" + a.admin()}, force, []string{"--configure", "-a"}))
	}
	if s == stepMark {
		return a.command(slices.Concat([]string{"apt-mark", "auto"}, names(changes)))
	}
	args := []string{"-y", "--no-remove"}
	for _, f := range force {
		args = append(args, "-o", "DPkg::Options::="+f)
	}
	if s == stepDownload {
		args = append(args, "--download-only")
	}
	return a.command(a.get(slices.Concat(args, []string{"install", "--only-upgrade"}, exactly(changes))...))
}
