package mlflow_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// standin is a stand-in for an MLflow server, written from the public reference
// of its REST API. It is no MLflow: it knows the questions that the probe asks,
// their paging, the life cycle of runs and the form of errors, and nothing else.
type standin struct {
	*httptest.Server

	mu sync.Mutex
	// release is what /version says; empty for a server without that page.
	release string
	// page is how many entries a page holds.
	page int
	// authorization is what requests must carry; empty for no demand.
	authorization string
	models        map[string][]map[string]any
	aliases       map[string]string
	runs          []map[string]any
	experiments   []map[string]any
	logged        map[string]map[string]any
	// artifacts are files behind the proxy, by path; pages are those that only
	// the UI's page reads, by model, version and path.
	artifacts, pages map[string]string
	// lists are folders of artifacts by run and path.
	lists map[string][]map[string]any
	// unknown are questions that this version does not know.
	unknown []string
	// faults answer the next requests of a path instead of the server.
	faults map[string][]fault
	// asked counts the requests by path; bodies keeps those of searches.
	asked  map[string]int
	bodies []string
}

// fault is an answer that is not good.
type fault struct {
	status int
	header http.Header
	body   string
}

func newStandin(t *testing.T) *standin {
	t.Helper()
	s := &standin{
		release: "2.14.1", page: 2, models: map[string][]map[string]any{}, aliases: map[string]string{}, logged: map[string]map[string]any{},
		artifacts: map[string]string{}, pages: map[string]string{}, lists: map[string][]map[string]any{}, faults: map[string][]fault{}, asked: map[string]int{},
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// fail makes the next requests of a path fail.
func (s *standin) fail(path string, faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = append(s.faults[path], faults...)
}

func (s *standin) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

const mlflowAPI = "/api/2.0/mlflow/"

func (s *standin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, mlflowAPI)
	path = strings.TrimPrefix(path, "/")
	s.asked[path]++
	if waiting := s.faults[path]; len(waiting) > 0 {
		s.faults[path] = waiting[1:]
		maps.Copy(w.Header(), waiting[0].header)
		w.WriteHeader(waiting[0].status)
		say(w, waiting[0].body)
		return
	}
	switch {
	case path == "health":
		say(w, "OK")
		return
	case path == "version" && s.release != "":
		say(w, s.release)
		return
	case s.authorization != "" && r.Header.Get("Authorization") != s.authorization:
		w.WriteHeader(http.StatusUnauthorized)
		say(w, "You are not authenticated. Please see the documentation.")
		return
	case slices.Contains(s.unknown, path):
		http.Error(w, "<!doctype html><title>404 Not Found</title>", http.StatusNotFound)
		return
	}
	var body map[string]any
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, "BAD_REQUEST", err.Error())
			return
		}
		text, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		s.bodies = append(s.bodies, path+" "+string(text))
	}
	s.answer(w, r, path, body)
}

func say(w http.ResponseWriter, text string) {
	if _, err := fmt.Fprint(w, text); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	write(w, map[string]any{"error_code": code, "message": message})
}

func write(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (s *standin) answer(w http.ResponseWriter, r *http.Request, path string, body map[string]any) {
	q := r.URL.Query()
	switch path {
	case "registered-models/alias":
		s.version(w, q.Get("name"), s.aliases[q.Get("name")+"@"+q.Get("alias")], "Registered model alias "+q.Get("alias")+" not found.")
	case "model-versions/get":
		s.version(w, q.Get("name"), q.Get("version"), "Model Version not found")
	case "registered-models/get-latest-versions":
		s.latest(w, body)
	case "model-versions/search":
		s.searchVersions(w, q)
	case "model-versions/get-download-uri":
		if v := s.lookup(q.Get("name"), q.Get("version")); v != nil {
			write(w, map[string]any{"artifact_uri": v["source"]})
			return
		}
		refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Model Version not found")
	case "runs/get":
		if run := s.run(q.Get("run_id")); run != nil {
			write(w, map[string]any{"run": run})
			return
		}
		refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Run with id="+q.Get("run_id")+" not found")
	case "runs/search":
		s.searchRuns(w, body)
	case "runs/delete":
		info(s.run(body["run_id"].(string)))["lifecycle_stage"] = "deleted"
		write(w, map[string]any{})
	case "experiments/get-by-name":
		for _, e := range s.experiments {
			if e["name"] == q.Get("experiment_name") {
				write(w, map[string]any{"experiment": e})
				return
			}
		}
		refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name '"+q.Get("experiment_name")+"'")
	case "experiments/search":
		token, _ := body["page_token"].(string)
		write(w, s.paged(s.experiments, token, "experiments"))
	case "artifacts/list":
		list := s.lists[q.Get("run_id")+"/"+q.Get("path")]
		write(w, s.paged(list, q.Get("page_token"), "files"))
	default:
		s.file(w, path, q)
	}
}

func (s *standin) file(w http.ResponseWriter, path string, q url.Values) {
	if id, ok := strings.CutPrefix(path, "logged-models/"); ok && s.logged[id] != nil {
		write(w, map[string]any{"model": s.logged[id]})
		return
	}
	if name, ok := strings.CutPrefix(path, "api/2.0/mlflow-artifacts/artifacts/"); ok && s.artifacts[name] != "" {
		say(w, s.artifacts[name])
		return
	}
	if page := s.pages[q.Get("name")+"/"+q.Get("version")+"/"+q.Get("path")]; path == "model-versions/get-artifact" && page != "" {
		say(w, page)
		return
	}
	refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "No such artifact: "+path)
}

func (s *standin) lookup(name, version string) map[string]any {
	for _, v := range s.models[name] {
		if v["version"] == version {
			return v
		}
	}
	return nil
}

func (s *standin) version(w http.ResponseWriter, name, version, missing string) {
	switch v := s.lookup(name, version); {
	case v != nil:
		write(w, map[string]any{"model_version": v})
	case len(s.models[name]) == 0:
		refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name="+name+" not found")
	default:
		refuse(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", missing)
	}
}

func (s *standin) latest(w http.ResponseWriter, body map[string]any) {
	out := []map[string]any{}
	for _, v := range s.models[body["name"].(string)] {
		if slices.Contains(body["stages"].([]any), v["current_stage"]) {
			out = append(out, v)
		}
	}
	write(w, map[string]any{"model_versions": out})
}

func (s *standin) searchVersions(w http.ResponseWriter, q url.Values) {
	name := strings.TrimSuffix(strings.TrimPrefix(q.Get("filter"), "name='"), "'")
	write(w, s.paged(s.models[name], q.Get("page_token"), "model_versions"))
}

// paged returns the page that begins where token says.
func (s *standin) paged(all []map[string]any, token, key string) map[string]any {
	from := 0
	if token != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(token, "page-"))
		if err != nil {
			panic(err)
		}
		from = n
	}
	to := min(from+s.page, len(all))
	out := map[string]any{key: all[from:to]}
	if to < len(all) {
		out["next_page_token"] = "page-" + strconv.Itoa(to)
	}
	return out
}

func info(run map[string]any) map[string]any { return run["info"].(map[string]any) }

func (s *standin) run(id string) map[string]any {
	for _, r := range s.runs {
		if info(r)["run_id"] == id {
			return r
		}
	}
	return nil
}

var (
	statusFilter = regexp.MustCompile(`attributes\.status = '([A-Z]+)'`)
	startFilter  = regexp.MustCompile(`attributes\.start_time > (\d+)`)
)

func (s *standin) searchRuns(w http.ResponseWriter, body map[string]any) {
	filter, _ := body["filter"].(string)
	lifecycle := map[any]string{"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted"}[body["run_view_type"]]
	if strings.Contains(filter, "start_time") && strings.HasPrefix(s.release, "1.") {
		refuse(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "Invalid attribute key 'start_time' specified.")
		return
	}
	var out []map[string]any
	for _, r := range s.runs {
		i := info(r)
		if !slices.Contains(body["experiment_ids"].([]any), any(i["experiment_id"])) || i["lifecycle_stage"] != lifecycle {
			continue
		}
		if m := statusFilter.FindStringSubmatch(filter); m != nil && i["status"] != m[1] {
			continue
		}
		if m := startFilter.FindStringSubmatch(filter); m != nil {
			bound, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil || i["start_time"].(int64) <= bound {
				continue
			}
		}
		out = append(out, r)
	}
	token, _ := body["page_token"].(string)
	write(w, s.paged(out, token, "runs"))
}
