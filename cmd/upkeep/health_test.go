package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// door stands before a server, or before nobody, and can be shut and opened
// again at the same address.
type door struct {
	address, to string

	mu       sync.Mutex
	listener net.Listener
	inside   map[net.Conn]bool
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	d := &door{to: to, address: "127.0.0.1:0", inside: map[net.Conn]bool{}}
	d.open(t)
	t.Cleanup(d.shut)
	return d
}

func (d *door) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.listener, d.address = l, l.Addr().String()
	d.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(conn)
		}
	}()
}

// pass connects a client with the server, or takes the connection and says
// nothing.
func (d *door) pass(client net.Conn) {
	server := net.Conn(nil)
	if d.to != "" {
		var err error
		if server, err = net.Dial("tcp", d.to); err != nil {
			_ = client.Close()
			return
		}
	}
	d.mu.Lock()
	d.inside[client] = true
	d.mu.Unlock()
	if server != nil {
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		_, _ = io.Copy(client, server)
	} else {
		_, _ = io.Copy(io.Discard, client)
	}
	d.mu.Lock()
	delete(d.inside, client)
	d.mu.Unlock()
	_ = client.Close()
}

// shut closes it, and throws everybody out.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.listener.Close()
	for conn := range d.inside {
		_ = conn.Close()
	}
}

// health returns the components by `upkeep health -o json`.
func (h *house) health(t *testing.T, code int) map[string]map[string]any {
	t.Helper()
	text, _ := h.upkeep(t, code, "health", "-o", "json")
	var answer struct {
		Components map[string]map[string]any `json:"components"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Components
}

// checked waits until the health of everything has an exit code.
func (h *house) checked(t *testing.T, code int) {
	t.Helper()
	eventually(t, fmt.Sprintf("upkeep health ends with %d", code), func() (bool, string) {
		cmd := h.command(t, "health")
		text, _ := cmd.CombinedOutput() // the code is what counts
		return cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == code, string(text)
	})
}

// A synthetic outage end to end: a port that nobody answers any more becomes a
// mail, and its return another one, in the time that validate promises.
func TestHealth_Outage(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	box.open(t)
	server := newDoor(t, "")
	config := mailing(box, fmt.Sprintf(`
checks:
  port: {kind: tcp, every: 2s, retry_every: 1s, fail_after: 3, ok_after: 2, timeout: 3s, impact: outage, with: {address: %q, timeout: 2s, latency: {warn: 1s, crit: 1500ms}}}
  behind: {kind: tcp, every: 2s, retry_every: 1s, depends_on: port, with: {address: %q, timeout: 2s, latency: {warn: 1s, crit: 1500ms}}}
workflows:
  daily: {jobs: {say: {kind: script, with: {run: [echo, hello]}}}}
`, server.address, server.address))
	h := newHouse(t, config)
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	worst := worstOf(t, h, "port")
	h.serve(t)
	h.checked(t, 0)

	server.shut()
	began := time.Now()
	first := arrived(t, box, 1)[0]
	delivered := time.Since(began)
	port := h.health(t, 1)["port"]
	if port["status"] != "critical" || port["connection"] != "failed" || port["error_kind"] != "connect" {
		t.Errorf("the health of the port: %v", port)
	}
	for _, want := range []string{"port", "shop", "CRITICAL"} {
		if !strings.Contains(first.subject, want) {
			t.Errorf("the subject %q does not say %q", first.subject, want)
		}
	}
	t.Logf("measured from the outage to the mail: %.1f s; worst case to the record, by validate: %.1f s", delivered.Seconds(), worst.Seconds())

	server.open(t)
	began = time.Now()
	h.checked(t, 0)
	t.Logf("measured from the end of the outage to healthy: %.1f s", time.Since(began).Seconds())
	second := arrived(t, box, 2)[1]
	if !strings.Contains(second.subject, "port") {
		t.Errorf("the second mail is about %q", second.subject)
	}
	// The check behind the port failed with it, and nobody heard of that.
	for _, l := range box.letters(t) {
		if strings.Contains(l.subject, "behind") {
			t.Errorf("a mail about what was only a consequence: %s", l.subject)
		}
	}
}

// worstOf returns what the configuration of a house promises.
func worstOf(t *testing.T, h *house, check string) time.Duration {
	t.Helper()
	text, _ := h.upkeep(t, 0, "validate")
	m := regexp.MustCompile(`(?m)^check ` + check + `: a fault is on record within (\S+) `).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("validate promises nothing:\n%s", text)
	}
	worst, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return worst
}

// Real servers go away and come back.
func TestHealth_RealServers(t *testing.T) {
	t.Parallel()
	behind := func(variable string) (*door, string) {
		text := os.Getenv(variable)
		u, err := url.Parse(text)
		if text == "" || err != nil {
			t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", variable)
		}
		d := newDoor(t, u.Host)
		u.Host = d.address
		return d, u.String()
	}
	postgres, pgURL := behind("UPKEEP_TEST_POSTGRES_URL")
	redis, redisURL := behind("UPKEEP_TEST_REDIS_URL")
	h := newHouse(t, `
ballast: off
databases:
  main: {kind: postgres, url: "${env:PG_URL}"}
  cache: {kind: redis, url: "${env:CACHE_URL}"}
checks:
  database: {kind: pgping, every: 2s, retry_every: 1s, fail_after: 2, impact: outage, with: {database: main, timeout: 20s, latency: {warn: 15s, crit: 16s}}}
  redis: {kind: redisping, every: 2s, retry_every: 1s, fail_after: 2, impact: degraded, with: {database: cache, timeout: 20s, latency: {warn: 15s, crit: 16s}}}
workflows:
  daily: {jobs: {say: {kind: script, with: {run: [echo, hello]}}}}
`)
	h.env = []string{"PG_URL=" + pgURL, "CACHE_URL=" + redisURL}
	d := h.serve(t)
	eventually(t, "both servers are reached", func() (bool, string) {
		// A server of tests may have something to warn about.
		text, _ := h.command(t, "health", "-o", "csv").CombinedOutput()
		return !strings.Contains(string(text), "critical") && !strings.Contains(string(text), "unknown"), string(text)
	})
	for name, server := range map[string]*door{"database": postgres, "redis": redis} {
		server.shut()
		began := time.Now()
		d.await(t, `check=`+name+` phase=failing`)
		t.Logf("%s: found after %.1f s", name, time.Since(began).Seconds())
		component := h.health(t, 1)[name]
		if component["status"] != "critical" || component["connection"] != "failed" || component["error_kind"] != "connect" {
			t.Errorf("%s: %v", name, component)
		}
		if text, _ := json.Marshal(component); strings.Contains(string(text), passwordOf(pgURL)) {
			t.Errorf("a password is told: %s", text)
		}
		server.open(t)
		d.await(t, `check=`+name+` phase=well`)
		eventually(t, name+" is reached again", func() (bool, string) {
			text, _ := h.command(t, "health", "--check", name, "-o", "csv").CombinedOutput()
			return !strings.Contains(string(text), "critical"), string(text)
		})
	}
}

// passwordOf returns the password in a URL, or what stands nowhere.
func passwordOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			return password
		}
	}
	return "\x00"
}
