package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs"
)

// bystander is a program of others that a test runs on a free port.
type bystander struct {
	address string
	output  *logged
	ended   chan struct{}
}

// logged is what a program wrote.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newBystander starts a program that answers /-/ready at the address that args
// gets, and ends it with the test.
func newBystander(t *testing.T, name string, args func(address string) []string) *bystander {
	t.Helper()
	for range 10 {
		b := &bystander{address: freeAddress(t), output: &logged{}, ended: make(chan struct{})}
		cmd := exec.Command(name, args(b.address)...)
		cmd.Stdout, cmd.Stderr = b.output, b.output
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v\nhint: scripts/dev/deps.sh test", err)
		}
		go func() {
			_ = cmd.Wait() // it is killed
			close(b.ended)
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-b.ended
		})
		if b.answers(t, name) {
			return b
		}
	}
	t.Fatalf("%s found no free port", name)
	return nil
}

// freeAddress is one that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// answers waits until the program is ready, and tells whether somebody else was
// faster to take its port.
func (b *bystander) answers(t *testing.T, name string) bool {
	t.Helper()
	taken := false
	eventually(t, name+" is ready", func() (bool, string) {
		select {
		case <-b.ended:
			if taken = strings.Contains(b.output.String(), "address already in use"); !taken {
				t.Fatalf("%s has ended:\n%s", name, b.output)
			}
			return true, ""
		default:
		}
		text, status := b.get(t, "/-/ready")
		return status == http.StatusOK, fmt.Sprint(status, text, b.output)
	})
	return !taken
}

// get returns the answer of the program, or no status when there is none.
func (b *bystander) get(t *testing.T, path string) (body string, status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error(), 0
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error(), 0
	}
	return string(text), answer.StatusCode
}

// hurried copies the files of docs/monitoring into a folder, with other
// addresses and with waits of a second.
func hurried(t *testing.T, addresses map[string]string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	waits := regexp.MustCompile(`(?m)^( *(?:scrape_interval|evaluation_interval|for|group_wait|group_interval)): \d+[ms]$`)
	for _, name := range []string{"prometheus.yml", "alertmanager.yml", "upkeep.rules.yml"} {
		text := waits.ReplaceAllString(readDoc(t, filepath.Join("monitoring", name)), "$1: 1s")
		for shipped, here := range addresses {
			text = strings.ReplaceAll(text, shipped, here)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// overTCP starts a service that listens on a free port, and returns where. The
// next one in this house listens there too.
func (h *house) overTCP(t *testing.T) (d *resident, address string) {
	t.Helper()
	before := h.env
	h.env = append(slices.Clone(before), configs.ListenVariable+"=127.0.0.1:0")
	d = h.serve(t)
	said := regexp.MustCompile(`msg="upkeep serves".* web=http://(127\.0\.0\.1:\d+)`).FindStringSubmatch(d.said(t))
	if said == nil {
		t.Fatalf("the service does not say where it listens:\n%s", d.said(t))
	}
	h.env = append(slices.Clone(before), configs.ListenVariable+"="+said[1])
	return d, said[1]
}

// alarm is one alert as Alertmanager tells it:
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type alarm struct {
	// Receiver is the path at which it came.
	Receiver    string            `json:"-"`
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alarms is a receiver of what Alertmanager sends.
type alarms struct {
	address string

	mu  sync.Mutex
	got []alarm
}

func newAlarms(t *testing.T) *alarms {
	t.Helper()
	a := &alarms{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var told struct {
			Version string  `json:"version"`
			Alerts  []alarm `json:"alerts"`
		}
		if err := json.NewDecoder(r.Body).Decode(&told); err != nil || told.Version != "4" {
			t.Errorf("Alertmanager sent version %q: %v", told.Version, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, one := range told.Alerts {
			one.Receiver = r.URL.Path
			a.got = append(a.got, one)
		}
	}))
	t.Cleanup(server.Close)
	a.address = server.Listener.Addr().String()
	return a
}

// await waits for an alert in a status.
func (a *alarms) await(t *testing.T, name, status string) (found alarm) {
	t.Helper()
	eventually(t, name+" is "+status, func() (bool, string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, one := range a.got {
			if one.Labels["alertname"] == name && one.Status == status {
				found = one
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", a.got)
	})
	return found
}

const promWorkflows = `
project: shop
ballast: off
kill_grace: 1s
workflows:
  nightly: {jobs: {say: {kind: script, with: {run: [test, -e, good]}}}}
`

// TestPrometheus_Story: a real Prometheus with what docs/monitoring holds asks a
// service, a real Alertmanager hears of a run that failed, and of a service that
// is gone and comes back, and tells both to whom it should.
func TestPrometheus_Story(t *testing.T) {
	t.Parallel()
	heard := newAlarms(t)
	h := newHouse(t, promWorkflows)
	d, upkeepAt := h.overTCP(t)
	folder := hurried(t, map[string]string{"127.0.0.1:9095": heard.address})
	manager := newBystander(t, "prometheus-alertmanager", func(address string) []string {
		return []string{
			"--config.file=" + filepath.Join(folder, "alertmanager.yml"), "--storage.path=" + t.TempDir(),
			"--web.listen-address=" + address, "--cluster.listen-address=",
		}
	})
	folder = hurried(t, map[string]string{"127.0.0.1:8620": upkeepAt, "127.0.0.1:9093": manager.address})
	prometheus := newBystander(t, "prometheus", func(address string) []string {
		return []string{"--config.file=" + filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path=" + t.TempDir(), "--web.listen-address=" + address}
	})
	prometheus.shows(t, `upkeep_runs_total{job="upkeep",state="failed",workflow="nightly"}`, "0")

	began := time.Now()
	h.upkeep(t, 1, "run", "nightly", "-q")
	failed := heard.await(t, "UpkeepRunFailed", "firing")
	t.Logf("measured from the failed run to the message of Alertmanager: %.1f s", time.Since(began).Seconds())
	if failed.Receiver != "/pager" || failed.Annotations["summary"] != "nightly ended failed" {
		t.Errorf("it is told at %s as %v", failed.Receiver, failed.Annotations)
	}
	want := map[string]string{"alertname": "UpkeepRunFailed", "severity": "critical", "workflow": "nightly", "state": "failed", "job": "upkeep", "instance": upkeepAt}
	if !maps.Equal(failed.Labels, want) {
		t.Errorf("its labels are %v, want %v", failed.Labels, want)
	}

	d.kill(t)
	began = time.Now()
	heard.await(t, "UpkeepDown", "firing")
	t.Logf("measured from the end of the service to the message: %.1f s", time.Since(began).Seconds())
	h.serve(t)
	heard.await(t, "UpkeepDown", "resolved")
	prometheus.wellRuled(t)
}

// shows waits until an expression has a value.
func (b *bystander) shows(t *testing.T, expression, value string) {
	t.Helper()
	eventually(t, expression+" is "+value, func() (bool, string) {
		text, _ := b.get(t, "/api/v1/query?query="+url.QueryEscape(expression))
		var answer struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Data.Result) != 1 {
			return false, text
		}
		return answer.Data.Result[0].Value[1] == value, text
	})
}

// wellRuled fails when a shipped rule could not be evaluated.
func (b *bystander) wellRuled(t *testing.T) {
	t.Helper()
	text, _ := b.get(t, "/api/v1/rules")
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name      string `json:"name"`
					Health    string `json:"health"`
					LastError string `json:"lastError"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var names []string
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Name)
			if rule.Health != "ok" {
				t.Errorf("the rule %s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	slices.Sort(names)
	if shipped := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllString(readDoc(t, "monitoring/upkeep.rules.yml"), -1); len(names) != len(shipped) || len(names) < 10 {
		t.Errorf("Prometheus has %d rules of %d: %v", len(names), len(shipped), names)
	}
}
