package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/socket"
)

// farewell bounds how long requests under way may take at the end.
const farewell = 5 * time.Second

// server answers on the control socket.
type server struct {
	api  *web.Server
	path string
	log  *slog.Logger
	// front is the web server's side to the network; nil for a command in the
	// foreground.
	front *front
	// first is the socket that is there from the beginning.
	first *socket.Listener
	// failed has the first error of a socket.
	failed  chan error
	serving sync.WaitGroup
}

// listen opens the control socket. d is nil for a command in the foreground.
func (e *Engine) listen(ctx context.Context, d *Daemon) (*server, error) {
	path := SocketPath(e.Config())
	// A ledger on a server leaves nothing here that would have made the folder.
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	var first *socket.Listener
	if err == nil {
		first, err = socket.Listen(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	var monitor web.Monitor
	if d != nil {
		monitor = checks{d.monitor, d.Config, &glanced{}}
	}
	var artifacts web.Artifacts
	var custody web.Custody
	if d != nil {
		d.bench = &bench{d: d}
		artifacts, custody = d.stock, d.bench
	}
	var front *front
	var door *access.Door
	if d != nil {
		front = newFront(named(e.o.Log, "http"), e.ledger)
		door = front.door
	}
	exposed, meter := e.exposed()
	made := &server{path: path, log: e.o.Log, first: first, front: front, failed: make(chan error, 1), api: web.New(web.Options{
		Runs: e.ledger, Slots: e.ledger, Alerts: e.ledger, Desk: e.ledger, Timelines: e.ledger, Facts: e.recorded(), KPIs: kpis{e}, Metrics: exposed, Meter: meter, Logs: d.logs(),
		Commands: commands{e}, Notices: notices{e}, Raiser: raiser{e}, PostMortems: postMortems{e}, Reports: newReporter(e, d), Runbooks: playbooks{e, d}, Databases: databases{e, make(chan struct{}, mostStatements)}, Service: facts{e: e, d: d}, Catalog: catalog{e},
		Definitions: definitions{e, e.configStatus(d)}, Cluster: cluster{e}, Poll: e.poll(), Strips: e.ledger, Artifacts: artifacts, Custody: custody,
		Public: func() web.Shown { return web.Shown{Status: e.Config().Web.Status, Badges: e.Config().Web.Badges} },
		Hub:    e.hub, Log: named(e.o.Log, "http"), Monitor: monitor, Door: door, Tokens: e.ledger, Audit: e.ledger,
	})}
	if front != nil {
		front.serve = made.api.ServeTCP
	}
	return made, nil
}

// serve answers until ctx ends, and then sees requests under way through.
func (s *server) serve(ctx context.Context) error {
	s.answer(s.first)
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), farewell, runner.ErrShutdown)
	defer cancel()
	err := s.api.Shutdown(end)
	if s.front != nil {
		s.front.close()
	}
	s.serving.Wait()
	return err
}

func (s *server) answer(on *socket.Listener) {
	s.serving.Go(func() {
		if err := s.api.ServeUnix(on); err != nil {
			select {
			case s.failed <- err:
			default:
			}
		}
	})
}

// restore opens the socket anew when somebody removed its file: without it
// nobody could control this process any more.
func (s *server) restore(ctx context.Context) error {
	if _, err := os.Lstat(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	again, err := socket.Listen(ctx, s.path)
	if err != nil {
		return fmt.Errorf("open the control socket anew: %w", err)
	}
	s.log.WarnContext(ctx, "the control socket was removed and is there again", "socket", s.path)
	s.answer(again)
	return nil
}

// WorkThrough answers on the control socket and executes what this process
// accepted, until nothing of it is left or the engine is stopped.
func (e *Engine) WorkThrough(ctx context.Context) error {
	server, err := e.listen(ctx, nil)
	if err != nil {
		return err
	}
	serving, silence := context.WithCancelCause(ctx)
	working, enough := context.WithCancelCause(ctx)
	all := newParts(nil)
	all.run(func() error { return server.serve(serving) })
	all.run(func() error {
		select {
		case <-e.accepted.whenEmpty():
		case <-e.hard.Done():
		}
		enough(runner.ErrShutdown)
		return nil
	})
	err = e.Work(working)
	enough(runner.ErrShutdown)
	e.deliverOwed(ctx)
	silence(runner.ErrShutdown)
	return errors.Join(err, all.wait())
}

// Commander carries out commands in the name of by, in this process.
func (e *Engine) Commander(by string) *Commander { return &Commander{commands: commands{e}, by: by} }

// Commander carries out commands for one person.
type Commander struct {
	commands commands
	by       string
}

// acted records in the audit what the person did.
func (c *Commander) acted(ctx context.Context, what, subject string, err error) error {
	return Acted(ctx, c.commands.e.ledger, c.by, what, subject, err)
}

// Run records a run, or one for each of several nodes, and has it delivered.
func (c *Commander) Run(ctx context.Context, r api.RunRequest) ([]runner.Submission, error) {
	done, err := c.commands.Run(ctx, c.by, r)
	return done, c.acted(ctx, "start-run", r.Workflow, err)
}

// Cancel asks for the end of a run and returns its state before.
func (c *Commander) Cancel(ctx context.Context, id runner.RunID) (runner.State, error) {
	state, err := c.commands.Cancel(ctx, c.by, id)
	return state, c.acted(ctx, "cancel-run", string(id), err)
}

// Retry continues a run, with the job from and what needs it anew.
func (c *Commander) Retry(ctx context.Context, id runner.RunID, from string) error {
	return c.acted(ctx, "retry-run", string(id), c.commands.Retry(ctx, c.by, id, from))
}

// Approve lets a run go that waits for approval.
func (c *Commander) Approve(ctx context.Context, id runner.RunID) error {
	return c.acted(ctx, "approve-run", string(id), c.commands.Approve(ctx, c.by, id))
}

// Pause pauses a workflow.
func (c *Commander) Pause(ctx context.Context, workflow string, r api.PauseRequest) error {
	return c.acted(ctx, "pause-workflow", workflow, c.commands.Pause(ctx, PauseOf(workflow, c.by, r)))
}

// Unpause ends a pause and tells whether there was one.
func (c *Commander) Unpause(ctx context.Context, workflow string) (bool, error) {
	was, err := c.commands.Unpause(ctx, c.by, workflow)
	return was, c.acted(ctx, "unpause-workflow", workflow, err)
}
