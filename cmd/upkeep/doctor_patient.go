package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/client"
)

// patient is what the doctor looks at: this machine, and as much of a
// configuration and a ledger as there is.
type patient struct {
	path string
	// cfg is nil when nobody knows even where the ledger is; whole tells that all
	// of it loaded.
	cfg      *configs.Config
	whole    bool
	problems configs.Problems
	err      error
	since    time.Duration
	secrets  *doctor.Secrets
	host     doctor.Host
	getenv   func(string) (string, bool)
	// work is an empty folder for probes.
	work string

	reader func() (*ledger.Reader, error)
	daemon func() doctor.Daemon
}

// patient finds out what there is to look at.
func (a *app) patient(since time.Duration) *patient {
	p := &patient{since: since, secrets: &doctor.Secrets{}, getenv: a.getenv}
	p.secrets.AddEnvironment(os.Environ())
	if work, err := os.MkdirTemp("", "upkeep-doctor-"); err == nil {
		p.work = work
	}
	p.host = doctor.Host{Program: runProgram}.Complete()
	if p.path, p.err = a.configFile(); p.err == nil {
		p.cfg, p.err = configs.Load(p.path, a.catalog())
		p.whole = p.cfg != nil
		p.problems, _ = errors.AsType[configs.Problems](p.err)
		switch {
		case p.whole:
			p.secrets.Add(p.cfg.Secrets()...)
			if p.err == nil {
				p.problems = p.cfg.Warnings
			}
		default:
			if place, err := configs.Locate(p.path, a.catalog()); err == nil {
				p.cfg = place
				p.secrets.Add(place.Secrets()...)
			}
		}
		for _, file := range p.configFiles() {
			p.secrets.AddText(p.text(file), a.getenv, p.readSecret)
		}
	}
	p.reader = sync.OnceValues(p.openLedger)
	p.daemon = sync.OnceValue(p.askDaemon)
	return p
}

// close ends what was opened.
func (p *patient) close(a *app) {
	if p.work != "" {
		if err := os.RemoveAll(p.work); err != nil {
			a.log().Warn("remove a temporary folder", "error", err)
		}
	}
	if reader, err := p.reader(); err == nil {
		if err := reader.Close(); err != nil {
			a.log().Warn("close the ledger", "error", err)
		}
	}
}

// configFiles are the files of the configuration.
func (p *patient) configFiles() []string {
	if p.whole && len(p.cfg.Files) > 0 {
		return p.cfg.Files
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(p.path), configs.FragmentFolder, "*.yaml"))
	if err != nil {
		files = nil // the folder's name is a bad pattern
	}
	return slices.Insert(files, 0, p.path)
}

// mostConfig bounds what is read of a file of the configuration.
const mostConfig = 1 << 20

func (p *patient) text(file string) string {
	content, err := readPlain(file)
	if err != nil {
		return "" // the loader has reported it
	}
	return content
}

// readPlain reads the beginning of an ordinary file.
func readPlain(file string) (content string, err error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not an ordinary file")
	}
	text, err := io.ReadAll(io.LimitReader(f, mostConfig))
	return string(text), err
}

// root is where relative paths of the configuration begin.
func (p *patient) root() string {
	if p.cfg != nil {
		return p.cfg.Root
	}
	return filepath.Dir(p.path)
}

func (p *patient) absolute(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(p.root(), file)
}

func (p *patient) readSecret(file string) (string, error) { return readPlain(p.absolute(file)) }

// openLedger opens the ledger for reading. It does not end with one look, since
// several read it.
func (p *patient) openLedger() (*ledger.Reader, error) {
	if p.cfg == nil {
		return nil, errors.New("where the ledger is, nobody knows: the configuration cannot be read")
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	return ledger.OpenReader(ctx, service.LedgerOptions(p.cfg, version, nil))
}

// record is the ledger as the steps read it; one that does not exist yet reads
// as empty.
func (p *patient) record(context.Context) (*doctor.Record, error) {
	reader, err := p.reader()
	switch {
	case errors.Is(err, ledger.ErrMissing):
		none := emptyLedger{}
		return &doctor.Record{Runs: none, Alerts: none, Happenings: none.Happenings, Pauses: none.Pauses}, nil
	case err != nil:
		return nil, fmt.Errorf("the ledger cannot be read: %w", err)
	}
	return &doctor.Record{Runs: reader, Alerts: reader, Happenings: reader.Happenings, Pauses: reader.Pauses, Locks: reader.Locks}, nil
}

// askDaemon asks the process that holds the ledger how it is.
func (p *patient) askDaemon() doctor.Daemon {
	d := doctor.Daemon{Ours: version}
	if p.cfg == nil {
		d.Error = "where it is, nobody knows: the configuration cannot be read"
		return d
	}
	d.Socket = service.SocketPath(p.cfg)
	for _, w := range p.cfg.Workflows {
		if _, scheduled := w.Schedule.Next(time.Now()); scheduled {
			d.Scheduled++
		}
	}
	const patience = 2 * holderPatience // of the client, that it may say what is the matter
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	c := client.New(client.Options{Socket: d.Socket, By: "cli", Within: holderPatience})
	defer c.Close()
	s, err := c.Status(ctx)
	switch {
	case err == nil:
		d.Answers, d.PID, d.Host, d.Node, d.Version, d.Since = true, s.PID, s.Host, s.Node, s.Version, s.Since
		d.Draining, d.Running, d.Queued, d.Unit = s.Draining, s.Running, s.Queued, p.host.UnitOf(s.PID)
		if s.Config.State == "degraded" {
			d.Degraded = s.Config.Reason
		}
		for _, t := range s.Problems {
			d.Problems = append(d.Problems, doctor.Trouble{Name: t.Name, Text: t.Text, Fatal: t.Fatal})
		}
		p.secrets.AddEnvironment(environOf(s.PID))
	case errors.Is(err, client.ErrNoDaemon):
	case errors.Is(err, client.ErrSilent):
		d.Silent, d.Error = true, err.Error()
	default:
		d.Error = err.Error()
	}
	return d
}

// environOf is the environment of a process, as far as this user may see it.
func environOf(pid int) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil // another user's
	}
	return strings.Split(string(content), "\x00")
}

// runProgram runs a program of the system and returns what it wrote.
func runProgram(ctx context.Context, argv ...string) (string, error) {
	const grace, mostSaid = time.Second, 4 << 20
	var out, said limited
	out.left, said.left = mostSaid, mostSaid
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "PAGER=cat")
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = grace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s is not installed here", argv[0])
	}
	if text := jobs.OneLine(said.String()); text != "" {
		return "", fmt.Errorf("%s: %s", argv[0], text)
	}
	return "", fmt.Errorf("%s: %w", argv[0], err)
}

// limited keeps the beginning of what is written.
type limited struct {
	bytes.Buffer

	left int
}

// Write takes everything and keeps what there is room for.
func (l *limited) Write(p []byte) (int, error) {
	kept := p[:min(len(p), l.left)]
	l.left -= len(kept)
	if _, err := l.Buffer.Write(kept); err != nil {
		return 0, err
	}
	return len(p), nil
}
