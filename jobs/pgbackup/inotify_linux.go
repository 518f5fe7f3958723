package pgbackup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// folderWatch tells which files of a folder were closed by their writer.
type folderWatch struct {
	// names is closed when no more can be told; what was not told has to be
	// looked for.
	names chan string
	file  *os.File
	quit  chan struct{}
	done  chan struct{}
}

// watchFolder begins to watch a folder.
func watchFolder(dir string) (*folderWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &folderWatch{names: make(chan string, 64), file: os.NewFile(uintptr(fd), "inotify"), quit: make(chan struct{}), done: make(chan struct{})}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR); err != nil {
		return nil, errors.Join(os.NewSyscallError("inotify_add_watch", err), w.file.Close())
	}
	go w.run()
	return w, nil
}

// headerBytes is the length of an event before its name (inotify(7)).
const headerBytes = unix.SizeofInotifyEvent

func (w *folderWatch) run() {
	defer close(w.done)
	defer close(w.names)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		for events := buf[:n]; len(events) >= headerBytes; {
			mask := binary.NativeEndian.Uint32(events[4:])
			length := int(binary.NativeEndian.Uint32(events[12:]))
			name, _, _ := bytes.Cut(events[headerBytes:headerBytes+length], []byte{0})
			events = events[headerBytes+length:]
			if mask&unix.IN_Q_OVERFLOW != 0 || mask&unix.IN_IGNORED != 0 {
				return
			}
			select {
			case w.names <- string(name):
			case <-w.quit:
				return
			}
		}
	}
}

func (w *folderWatch) close() error {
	close(w.quit)
	err := w.file.Close()
	<-w.done
	return err
}
