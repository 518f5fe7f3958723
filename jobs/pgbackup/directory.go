package pgbackup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// tocName is the table of contents of a dump in the format directory, which
// pg_dump writes last.
const tocName = "toc.dat"

// directory dumps with several connections into a directory, and moves each
// file into the stream as soon as it is complete, while others are written.
func (d *dumping) directory(ctx context.Context) (_ contents, err error) {
	dir, err := os.MkdirTemp(d.env.WorkDir, "dump-") // 0700
	if err != nil {
		return contents{}, fmt.Errorf("make the dump's directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := d.requireRoom(dir); err != nil {
		return contents{}, err
	}
	finished, err := watchFolder(dir)
	if err != nil {
		return contents{}, fmt.Errorf("watch the dump's directory: %w", err)
	}
	defer func() { err = errors.Join(err, finished.close()) }()
	alive, idle := newWatchdog(ctx, d.job.options.IdleTimeout.Std(), errIdle)
	defer idle.end()
	done := make(chan error, 1)
	go func() {
		_, err := child.Run(alive, child.Command{
			Argv: append(d.arguments(formatDirectory), fmt.Sprintf("--jobs=%d", d.job.options.Jobs), "--file="+dir),
			Env:  d.environ, Dir: d.env.WorkDir, Stdout: d.said, Stderr: d.said, Marks: d.env.Marks(), Grace: d.env.KillGrace,
		})
		done <- err
	}()
	idle.allow(d.job.options.LockTimeout.Std())
	m := &mover{dumping: d, dir: dir, tar: tar.NewWriter(d.stream), moved: map[string]bool{}, buf: make([]byte, readBytes), idle: idle}
	if err := m.follow(finished.names, done); err != nil {
		// Nothing of it may be left when the directory goes.
		idle.cancel(err)
		if !m.over {
			err = errors.Join(err, unless[*child.StopError](<-done))
		}
		return contents{}, err
	}
	found, err := d.tool.list(ctx, dir)
	if err != nil {
		return contents{}, err
	}
	return found, m.finish()
}

// requireRoom refuses to begin when the tables that are written at once
// would not fit.
func (d *dumping) requireRoom(dir string) error {
	free, err := artifact.FreeBytes(dir)
	if err != nil {
		return err
	}
	if d.source.bytes == 0 || free > d.source.bytes {
		return nil
	}
	return jobs.WithHint(
		fmt.Errorf("the working directory has %s free, but the database takes %s", artifact.Bytes(free), artifact.Bytes(d.source.bytes)),
		"free space there, or set jobs: 1, which needs none")
}

// mover moves the files of a dump into a tar.
type mover struct {
	*dumping
	dir   string
	tar   *tar.Writer
	moved map[string]bool
	buf   []byte
	idle  *watchdog
	over  bool // pg_dump has ended
	bytes int64
	seen  int64 // bytes written at the last sign of life
}

// lifePoll is how often it is looked whether pg_dump still writes.
const lifePoll = 2 * time.Second

// follow moves files until pg_dump has ended well.
func (m *mover) follow(names <-chan string, done <-chan error) error {
	ticker := time.NewTicker(lifePoll)
	defer ticker.Stop()
	m.idle.arm()
	defer m.idle.rest()
	for {
		select {
		case err := <-done:
			m.over = true
			return err
		case name, ok := <-names:
			if !ok {
				names = nil // what is left is found when pg_dump has ended
				continue
			}
			m.start()
			if err := m.move(name); err != nil {
				return err
			}
			m.life()
		case <-ticker.C:
			m.life()
		}
	}
}

// life arms the watchdog anew when more was written since the last look.
func (m *mover) life() {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return // the end of the dump will tell
	}
	total := m.bytes
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	if total != m.seen {
		m.seen = total
		m.idle.extra = 0
		m.idle.arm()
		if len(entries) > 0 {
			m.start()
		}
		m.env.Progress(m.run.bytes+total, max(m.plan.bytes, m.run.bytes+total), "bytes")
	}
}

// move appends one file to the tar and removes it.
func (m *mover) move(name string) (err error) {
	if name == tocName {
		return nil // it is needed until the end
	}
	if m.moved[name] {
		return fmt.Errorf("pg_dump wrote %s twice", name)
	}
	m.moved[name] = true
	path := filepath.Join(m.dir, name)
	if err := m.add(path, name); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	return nil
}

func (m *mover) add(path, name string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	if err := m.tar.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o600, Format: tar.FormatPAX}); err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{m.tar}, struct{ io.Reader }{f}, m.buf)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("it has %d bytes instead of %d", n, info.Size())
	}
	if err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	m.bytes += n
	return nil
}

// finish moves what is left and the table of contents last.
func (m *mover) finish() error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("read the dump's directory: %w", err)
	}
	for _, e := range entries {
		if err := m.move(e.Name()); err != nil {
			return err
		}
	}
	if err := m.add(filepath.Join(m.dir, tocName), tocName); err != nil {
		return err
	}
	return m.tar.Close()
}

// verifyDirectory reads the tar of a dump in full, counts the rows of each
// table and lets pg_restore read the table of contents.
func (t tool) verifyDirectory(ctx context.Context, d *Database, r io.Reader) (err error) {
	dir, err := os.MkdirTemp(t.dir, "contents-")
	if err != nil {
		return fmt.Errorf("keep the table of contents: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, rows, err := readDirectory(r, dir)
	if err != nil {
		return err
	}
	found, err := t.list(ctx, dir)
	if err == nil {
		// The definitions too, which need no data.
		said := &tail{}
		cmd := t.command("--schema-only", "--file="+os.DevNull, dir)
		cmd.Stderr = said
		if _, err = child.Run(ctx, cmd); err != nil {
			err = judge(said, err)
		}
	} else {
		err = judge(&tail{}, err)
	}
	if err != nil {
		return err
	}
	for i := range d.Tables {
		if entry, ok := found.entries[d.Tables[i].OID]; ok {
			n, there := rows[entry]
			if there {
				s.rows[[2]string{d.Tables[i].Schema, d.Tables[i].Name}] = n
			}
			delete(rows, entry)
		}
	}
	if len(rows) > 0 {
		entries := make([]int, 0, len(rows))
		for entry := range rows {
			entries = append(entries, entry)
		}
		slices.Sort(entries)
		return damage("the dump holds rows of entry %d, which its table of contents does not name", entries[0])
	}
	return d.compare(s)
}

// readDirectory reads every file of a dump's tar, and lays down its table of
// contents in dir. It returns the rows by entry, and a script that counted the
// large objects.
func readDirectory(r io.Reader, dir string) (*script, map[int]int64, error) {
	seen := &tarEnd{}
	files := tar.NewReader(io.TeeReader(r, seen))
	s := &script{rows: rowsOf{}}
	rows := map[int]int64{}
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return s, rows, seen.whole()
		}
		if err != nil {
			return nil, nil, damage("tar: %w", err)
		}
		entry, isTable := entryOf(h.Name)
		switch {
		case h.Name == tocName:
			err = lay(filepath.Join(dir, tocName), files)
		case isTable:
			rows[entry], err = countFile(files)
		case strings.HasPrefix(h.Name, "blob_"):
			s.objects++
			fallthrough
		default:
			err = skip(files)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", jobs.OneLine(h.Name), err)
		}
	}
}

// skip reads a file to its end. The tar is no longer than its manifest says,
// which artifact.Read sees to.
func skip(r io.Reader) error {
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, readBytes)); err != nil {
		return damage("tar: %w", err)
	}
	return nil
}

func lay(path string, r io.Reader) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err
}
