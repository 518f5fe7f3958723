package web

import (
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/pages"
)

// Prefix is where the API begins.
const Prefix = "/api/v1"

// Options are what a server needs. All of them are required, but for those
// that have a default.
type Options struct {
	// Runs, Slots and Alerts read the ledger.
	Runs   runner.Reader
	Slots  runner.SlotReader
	Alerts runner.AlertReader
	// Facts are the samples and events of the ledger, KPIs the figures that
	// follow from all of it.
	Facts Facts
	KPIs  KPIs
	// Commands, Notices and Service carry out what is asked.
	Commands Commands
	Notices  Notices
	// Raiser takes alerts; nil for a process that takes none.
	Raiser  Raiser
	Service Service
	// Desk is where people work on incidents, Timelines what they did.
	Desk      runner.Desk
	Timelines runner.DeskReader
	// Catalog is the configuration in force, Definitions what it says in full.
	Catalog     Catalog
	Definitions Definitions
	// Cluster knows the nodes that belong to the system.
	Cluster Cluster
	// Strips reads the newest runs of many workflows.
	Strips Strips
	// Artifacts knows what the stores hold; nil for a process that reads none.
	Artifacts Artifacts
	// Custody works on them; nil for a process that does not.
	Custody Custody
	// PostMortems are reports on incidents; nil for a process that writes none.
	PostMortems PostMortems
	// Reports are those on how it goes, Runbooks the workflows that checks start,
	// Databases those of the configuration.
	Reports   Reports
	Runbooks  Runbooks
	Databases Databases
	// Public says what anybody may see; nil for nothing.
	Public func() Shown
	// Monitor watches the checks; nil for a process that does not.
	Monitor Monitor
	// Hub has the events of the runs that this process executes.
	Hub *Hub
	Log *slog.Logger
	// Metrics answers with the metrics of the process; nil when it has none.
	Metrics http.Handler
	// Logs is the log of the process; nil when nobody can change its levels.
	Logs Logs
	// Tokens keeps the tokens, Audit who did what; nil for a process that does
	// not.
	Tokens runner.Tokens
	Audit  Audit
	// Door finds out who asks over TCP; nil for a process that does not listen
	// there.
	Door *access.Door
	// Meter counts requests; nil for nobody.
	Meter Meter
	// Poll is how often a run that another process executes is looked at for
	// those who follow it; the default is 2 seconds.
	Poll time.Duration
	// Heartbeat is how often a silent stream says that it is alive; the default
	// is 15 seconds.
	Heartbeat time.Duration
	// ChangesEvery is the least time between two events of the stream of
	// changes; the default is 1 second.
	ChangesEvery time.Duration
}

// Server answers the API. Its methods may be called from several goroutines.
type Server struct {
	o      Options
	host   string
	log    *slog.Logger
	access *slog.Logger
	api    huma.API
	mux    *http.ServeMux
	once   *onceKeys
	roles  map[string]Role   // that an operation needs, by its pattern
	names  map[string]string // of operations, by their patterns
	// refusals counts what the audit does not list one by one.
	refusals refusals
	spec     func() (document, error)
	ready    func() // adds the addresses, once
	pages    *pages.Pages
	http     *http.Server // of the unix socket
	tcp      *http.Server
	ending   chan struct{} // closed when streams have to end
	end      func()
	// followers counts the open streams of changes and outputs.
	followers followers
	// watches tells that somebody looks at the ledger for those who follow the
	// changes.
	watching sync.Mutex
	watches  bool
}

// New makes a server that does not listen yet.
func New(o Options) *Server {
	if o.Poll <= 0 {
		o.Poll = 2 * time.Second
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.ChangesEvery <= 0 {
		o.ChangesEvery = changesEvery
	}
	if o.Public == nil {
		o.Public = func() Shown { return Shown{} }
	}
	if o.Artifacts == nil {
		o.Artifacts = noArtifacts{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	s := &Server{o: o, host: host, log: o.Log, mux: http.NewServeMux(), once: newOnceKeys(), roles: map[string]Role{}, names: map[string]string{}, ending: make(chan struct{})}
	s.access = o.Log.With(logbook.Logger("http.access"))
	s.end = sync.OnceFunc(func() { close(s.ending) })
	s.ready = sync.OnceFunc(s.register)
	s.spec = sync.OnceValues(func() (document, error) {
		s.ready()
		return describe(s.api)
	})
	s.http, s.tcp = newHTTPServer(s), newTCPServer(s)
	return s
}

// register adds all addresses. It takes longer than a whole short run, and most
// commands in the foreground are never asked anything, so the first request
// does it.
func (s *Server) register() {
	s.api = humago.New(tagged{s.mux}, configuration())
	s.registerRuns()
	s.registerControl()
	s.registerFollowing()
	s.registerTail()
	s.registerDetail()
	s.registerWorkflows()
	s.registerDefinitions()
	s.registerArtifacts()
	s.registerWork()
	s.registerPostMortems()
	s.registerReports()
	s.registerRunbooks()
	s.registerDatabases()
	s.registerChanges()
	s.registerAlerts()
	s.registerRaising()
	s.registerFacts()
	s.registerKPIs()
	s.registerHealth()
	s.registerService()
	s.registerAccess()
	amend(s.api)
	s.registerLog()
	s.registerPlain()
	s.registerPublic()
	s.registerMetrics()
	s.registerPages()
}

// configuration is that of huma. Its own pages and error type are left out:
// the pages load scripts from elsewhere, the errors repeat what was sent.
func configuration() huma.Config {
	c := huma.DefaultConfig("upkeep", "1")
	c.DocsPath, c.SchemasPath, c.OpenAPIPath = "", "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.RejectUnknownQueryParameters = true
	c.Info.Description = "What upkeep knows and does, over the unix socket of a daemon."
	c.Transformers = []huma.Transformer{problems}
	return c
}

// Handler returns the API without a listener. Whoever calls it has to say who
// asks by Identify, or is answered CodeUnauthenticated.
func (s *Server) Handler() http.Handler { return s.guard(s.mux) }

// reply is the output of an operation.
type reply[B any] struct{ Body B }

func ok[B any](body B) (*reply[B], error) { return &reply[B]{Body: body}, nil }

// problems turns huma's own errors into ours, without the values that were
// sent, and names the request in all.
func problems(ctx huma.Context, _ string, v any) (any, error) {
	switch p := v.(type) {
	case *huma.ErrorModel:
		out := api.NewProblem(codeOfStatus(p.Status), "", p.Detail)
		out.Title, out.Status = http.StatusText(p.Status), p.Status
		for _, e := range p.Errors {
			out.Errors = append(out.Errors, api.Wrong{Location: e.Location, Message: e.Message})
		}
		out.RequestID = requestID(ctx.Context())
		return out, nil
	case *api.Problem:
		named := *p
		named.RequestID = requestID(ctx.Context())
		return &named, nil
	}
	return v, nil
}

// codeOfStatus places the statuses that huma answers by itself.
func codeOfStatus(status int) api.Code {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return api.CodeTooLarge
	case http.StatusUnsupportedMediaType:
		return api.CodeUnsupported
	case http.StatusRequestTimeout:
		return api.CodeUnavailable
	}
	if status >= http.StatusInternalServerError {
		return api.CodeInternal
	}
	return api.CodeInvalid
}
