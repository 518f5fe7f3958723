package service_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// standIn is a stand-in for systemd: it owns org.freedesktop.systemd1 on a
// private bus of the real dbus-daemon and answers as systemd 252 does, with
// outcomes that a test writes down. It starts nothing.
type standIn struct {
	address string
	conn    *dbus.Conn
	// stop ends the bus.
	stop func()

	mu    sync.Mutex
	units map[string]*fakeUnit
	jobs  uint32
	calls []string
}

// fakeUnit is one unit of the stand-in.
type fakeUnit struct {
	load, active, sub, kind, result string
	id                              string
	restarts                        uint32
	pid                             uint32
	memory                          uint64
	invocation                      []byte
	canReload                       bool
	requiredBy                      []string
	// script says what becomes of the next jobs for the unit, one after the
	// other; without any they end in done.
	script []outcome
	// looked is called on every look at the unit, with the lock held.
	looked func(u *fakeUnit)
}

// outcome is what becomes of one job.
type outcome struct {
	// result is that of JobRemoved; "" for a job that never ends.
	result string
	// failed is the unit's Result when it has failed after the job.
	failed string
	// denied makes the call itself fail.
	denied bool
}

func running(pid uint32) *fakeUnit {
	return &fakeUnit{
		load: "loaded", active: "active", sub: "running", kind: "simple", result: "success", pid: pid, memory: 300 << 20,
		invocation: []byte(rand.Text()[:16]), canReload: true,
	}
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

// startStandIn starts a bus with the stand-in on it.
func startStandIn(t *testing.T, units map[string]*fakeUnit) *standIn {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, filepath.Join(dir, "s")), 0o600); err != nil {
		t.Fatal(err)
	}
	// The shell ends the bus with the end of its input, also when this process is
	// killed.
	daemon := exec.CommandContext(context.Background(), "/bin/sh", "-c",
		`dbus-daemon --config-file="$1" --nofork --nopidfile --print-address=1 & read -r _; kill $!; wait`, "sh", config)
	in, err := daemon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatalf("start dbus-daemon: %v", err)
	}
	stop := sync.OnceFunc(func() { _ = in.Close() })
	t.Cleanup(func() { stop(); _ = daemon.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon says no address: %v", err)
	}
	s := &standIn{address: strings.TrimSpace(line), units: units, stop: stop}
	for name, u := range units {
		if u.id == "" {
			u.id = name
		}
	}
	s.serve(t)
	return s
}

const (
	managerName = "org.freedesktop.systemd1"
	managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")
)

func (s *standIn) serve(t *testing.T) {
	t.Helper()
	conn, err := dbus.Connect(s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.conn = conn
	methods := map[string]any{}
	for method, verb := range map[string]string{"RestartUnit": "restart", "ReloadUnit": "reload", "StartUnit": "start", "StopUnit": "stop"} {
		methods[method] = func(name, _ string) (dbus.ObjectPath, *dbus.Error) { return s.enqueue(verb, name) }
	}
	if err := conn.ExportMethodTable(methods, managerPath, managerName+".Manager"); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"GetAll": s.properties}
	if err := conn.ExportSubtreeMethodTable(all, managerPath+"/unit", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(managerName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own %s: %v %v", managerName, reply, err)
	}
}

// enqueue begins a job, which ends a moment later with JobRemoved.
func (s *standIn) enqueue(verb, name string) (dbus.ObjectPath, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, verb+" "+name)
	u := s.units[name]
	if u == nil {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	o := outcome{result: "done"}
	if len(u.script) > 0 {
		o, u.script = u.script[0], u.script[1:]
	}
	if o.denied {
		return "", dbus.NewError("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", []any{"Interactive authentication required."})
	}
	s.jobs++
	id, path := s.jobs, dbus.ObjectPath(fmt.Sprintf("%s/job/%d", managerPath, s.jobs))
	u.apply(verb, o)
	if o.result != "" {
		time.AfterFunc(10*time.Millisecond, func() {
			_ = s.conn.Emit(managerPath, managerName+".Manager.JobRemoved", id, path, name, o.result)
		})
	}
	return path, nil
}

func (u *fakeUnit) apply(verb string, o outcome) {
	switch {
	case o.failed != "":
		u.active, u.sub, u.result, u.pid = "failed", "failed", o.failed, 0
	case o.result != "done":
	case verb == "stop":
		u.active, u.sub, u.pid = "inactive", "dead", 0
	case verb != "reload":
		u.active, u.sub, u.result = "active", "running", "success"
		u.pid, u.restarts = u.pid+1000, 0
		u.invocation = []byte(rand.Text()[:16])
	}
}

// properties answers GetAll on the object of a unit.
func (s *standIn) properties(m dbus.Message, _ string) (map[string]dbus.Variant, *dbus.Error) {
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	name := unescape(string(path)[len(managerPath)+len("/unit/"):])
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	if u == nil {
		u = &fakeUnit{id: name, load: "not-found", active: "inactive", sub: "dead"}
	}
	if u.looked != nil {
		u.looked(u)
	}
	return map[string]dbus.Variant{
		"Id": dbus.MakeVariant(u.id), "LoadState": dbus.MakeVariant(u.load), "ActiveState": dbus.MakeVariant(u.active), "SubState": dbus.MakeVariant(u.sub),
		"Type": dbus.MakeVariant(u.kind), "Result": dbus.MakeVariant(u.result), "NRestarts": dbus.MakeVariant(u.restarts), "MainPID": dbus.MakeVariant(u.pid),
		"MemoryCurrent": dbus.MakeVariant(u.memory), "InvocationID": dbus.MakeVariant(u.invocation), "CanReload": dbus.MakeVariant(u.canReload),
		"RequiredBy": dbus.MakeVariant(u.requiredBy), "BoundBy": dbus.MakeVariant([]string{}), "ConsistsOf": dbus.MakeVariant([]string{}),
	}, nil
}

// unescape reads the form that names of units have in paths: _xx for a byte.
func unescape(path string) string {
	var out []byte
	for i := 0; i < len(path); i++ {
		var b byte
		if path[i] == '_' && i+2 < len(path) {
			if _, err := fmt.Sscanf(path[i+1:i+3], "%02x", &b); err == nil {
				out, i = append(out, b), i+2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

// asked returns what was asked of the stand-in, in order.
func (s *standIn) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// change changes a unit.
func (s *standIn) change(name string, do func(*fakeUnit)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.units[name])
}
