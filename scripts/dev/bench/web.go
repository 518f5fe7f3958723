package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/scripts/dev/seed"
)

// pages measures the lists of the API and the pages over a long past.
type pages struct {
	binary   string
	rows     int
	requests int
	memory   int
	folder   string
}

func (p *pages) register() {
	flag.IntVar(&p.rows, "rows", 1_000_000, "runs of the ledger behind the pages")
	flag.IntVar(&p.requests, "requests", 200, "how often each page is asked for")
	flag.IntVar(&p.memory, "memory-requests", 10_000, "after how many requests the memory is looked at again")
	flag.StringVar(&p.folder, "folder", "", "keep the ledger behind the pages in this folder, and use what is there")
}

// target is an address under measurement.
type target struct {
	name, path string
	page       bool
}

func benchPages(p pages) (err error) {
	dir := p.folder
	if dir == "" {
		if dir, err = os.MkdirTemp("", "upkeep-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if p.binary, err = filepath.Abs(p.binary); err != nil {
		return err
	}
	if _, missing := os.Stat(filepath.Join(dir, seed.ConfigName)); missing != nil {
		began := time.Now()
		if err := seed.Huge(context.Background(), seed.Options{Dir: dir, Web: `{listen: "127.0.0.1:0"}`, Now: time.Now(), Runs: p.rows}); err != nil {
			return err
		}
		fmt.Printf("%d runs recorded in %s\n", p.rows, time.Since(began).Round(time.Second))
	}
	d, err := startDaemon(p.binary, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	s, err := newSite(d)
	if err != nil {
		return err
	}
	targets, err := s.targets()
	if err != nil {
		return err
	}
	fmt.Printf("\n## pages and lists over %d runs, each asked for %d times on one connection, ready after %s\n\n", p.rows, p.requests, d.ready.Round(time.Millisecond))
	fmt.Println("| address | p50 ms | p95 | max | CPU ms | KB transferred | with its files |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, t := range targets {
		if err := s.measure(t, p.requests); err != nil {
			return err
		}
	}
	return s.remember(targets, p.memory)
}

// site is a service with pages.
type site struct {
	d    *daemon
	base string
	http *http.Client
	// weights are the bytes of files by address.
	weights map[string]int64
}

// address finds where the service listens in its log.
var address = regexp.MustCompile(`127\.0\.0\.1:[1-9][0-9]*`)

func newSite(d *daemon) (*site, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		log, err := os.ReadFile(filepath.Join(d.dir, "log"))
		if err != nil {
			return nil, err
		}
		if at := address.Find(log); at != nil {
			// What is transferred counts, so nothing is unpacked on the way.
			transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8}
			return &site{d: d, base: "http://" + string(at), http: &http.Client{Transport: transport, Timeout: time.Minute}, weights: map[string]int64{}}, nil
		}
	}
	return nil, errors.New("the log of the service does not say where it listens")
}

// targets are the addresses, with what is on record in them.
func (s *site) targets() ([]target, error) {
	var list struct {
		Runs []struct{ ID, Workflow string }
	}
	if err := s.read("/api/v1/runs?limit=1", &list); err != nil {
		return nil, err
	}
	var incidents struct{ Incidents []struct{ ID string } }
	if err := s.read("/api/v1/incidents?limit=1", &incidents); err != nil {
		return nil, err
	}
	if len(list.Runs) == 0 || len(incidents.Incidents) == 0 {
		return nil, errors.New("the ledger has no runs, or no incidents")
	}
	run, incident := list.Runs[0].ID, incidents.Incidents[0].ID
	deep := time.Now().AddDate(0, 0, -200).UTC().Format("2006-01-02T15:04:05Z")
	targets := []target{{name: "floor: /livez", path: "/livez"}}
	for _, path := range []string{
		"/runs", "/runs?until=" + deep, "/runs?state=failed", "/runs?state=lost", "/runs?state=skipped", "/runs?trigger=manual", "/runs?workflow=w-07", "/runs?workflow=w-03&state=failed&until=" + deep,
		"/runs/" + run, "/runs/" + run + "/attempts", "/workflows", "/workflows/w-07/jobs/backup/past", "/workflows/w-03/jobs/backup/past", "/workflows/w-03/why", "/plan?until=" + time.Now().AddDate(0, 0, 30).UTC().Format("2006-01-02T15:04:05Z"),
		"/incidents", "/incidents?state=open", "/incidents/" + incident, "/notices", "/silences", "/events", "/series", "/samples?series=check.c-1.seconds", "/samples?series=check.c-1.seconds&limit=10000", "/checks", "/kpis", "/status", "/nodes",
	} {
		targets = append(targets, target{name: strings.NewReplacer(run, "ID", incident, "ID", deep, "DEEP").Replace("/api/v1" + path), path: "/api/v1" + path})
	}
	for _, path := range []string{
		"/", "/workflows", "/workflows/w-07", "/workflows/w-03", "/runs", "/runs?state=failed", "/runs?until=" + deep, "/runs/" + run,
		"/backups", "/checks", "/checks/c-1", "/incidents", "/incidents/" + incident, "/kpis", "/plan", "/system",
	} {
		targets = append(targets, target{name: strings.NewReplacer(run, "ID", incident, "ID", deep, "DEEP").Replace(path), path: path, page: true})
	}
	return targets, nil
}

func (s *site) read(path string, into any) error {
	body, status, err := s.get(path, "identity")
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("%s: %d, %w", path, status, err)
	}
	return json.Unmarshal(body, into)
}

// get returns the body as it came over the wire.
func (s *site) get(path, encoding string) ([]byte, int, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Accept-Encoding", encoding)
	request.Header.Set("Accept", "text/html,application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return nil, 0, err
	}
	body, err := io.ReadAll(response.Body)
	return body, response.StatusCode, errors.Join(err, response.Body.Close())
}

// measure asks for an address many times.
func (s *site) measure(t target, requests int) error {
	for range 3 { // fills caches
		body, status, err := s.get(t.path, "gzip")
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			fmt.Printf("| %s | answers %d: %.80q |\n", t.name, status, body)
			return nil
		}
	}
	before, err := s.d.cpu()
	if err != nil {
		return err
	}
	var each []time.Duration
	var bytes int64
	for range requests {
		began := time.Now()
		body, _, err := s.get(t.path, "gzip")
		if err != nil {
			return err
		}
		each, bytes = append(each, time.Since(began)), int64(len(body))
	}
	after, err := s.d.cpu()
	if err != nil {
		return err
	}
	slices.Sort(each)
	whole := ""
	if t.page {
		weight, err := s.weigh(t.path)
		if err != nil {
			return err
		}
		whole = fmt.Sprintf("%.0f", float64(weight)/1000)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %s |\n", t.name, ms(each[len(each)/2]), ms(each[len(each)*95/100]), ms(each[len(each)-1]),
		ms(after-before)/float64(requests), float64(bytes)/1000, whole)
	return nil
}

// file finds what a page loads.
var file = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)

// weigh returns what a first visit of a page transfers.
func (s *site) weigh(path string) (int64, error) {
	plain, _, err := s.get(path, "identity")
	if err != nil {
		return 0, err
	}
	packed, _, err := s.get(path, "gzip")
	if err != nil {
		return 0, err
	}
	total := int64(len(packed))
	seen := map[string]bool{}
	for _, found := range file.FindAllSubmatch(plain, -1) {
		name := strings.ReplaceAll(string(found[1]), "&amp;", "&")
		if seen[name] {
			continue
		}
		seen[name] = true
		if _, known := s.weights[name]; !known {
			body, status, err := s.get(name, "gzip")
			if err != nil || status != http.StatusOK {
				return 0, fmt.Errorf("%s: %d, %w", name, status, err)
			}
			s.weights[name] = int64(len(body))
		}
		total += s.weights[name]
	}
	return total, nil
}

// remember tells how the memory of the service grows with requests by four
// clients, all addresses in turns.
func (s *site) remember(targets []target, requests int) error {
	fmt.Printf("\n## memory of the service over %d requests by four clients, all addresses in turns\n\n", requests)
	fmt.Println("| requests | RSS MiB |")
	fmt.Println("|---|---|")
	const steps = 5
	for step := range steps + 1 {
		if step > 0 {
			if err := s.hammer(targets, requests/steps); err != nil {
				return err
			}
		}
		rss, err := s.d.memory("VmRSS")
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %.0f |\n", step*requests/steps, float64(rss)/1024)
	}
	peak, err := s.d.memory("VmHWM")
	if err != nil {
		return err
	}
	fmt.Printf("\nThe peak was %.0f MiB.\n", float64(peak)/1024)
	return nil
}

// hammer asks for all targets in turns, so often in total.
func (s *site) hammer(targets []target, requests int) error {
	const clients = 4
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for c := range clients {
		all.Go(func() {
			for i := c; i < requests; i += clients {
				if _, _, err := s.get(targets[i%len(targets)].path, "gzip"); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
