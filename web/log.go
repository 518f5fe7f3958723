package web

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// Logs is the log of a service. Its methods may be called from several
// goroutines.
type Logs interface {
	// Levels returns the thresholds of the loggers: that of all first, whose
	// name is empty, the others by name.
	Levels() []api.LogLevel
	// SetLevel changes the threshold of a logger, or of all when the name is
	// empty, for a while, or until the process ends when that is 0. CodeInvalid
	// for a word that is no level.
	SetLevel(ctx context.Context, by, logger, level string, lasts time.Duration) error
	// ResetLevel makes the configured threshold hold again and tells whether
	// another one did.
	ResetLevel(ctx context.Context, by, logger string) bool
}

// registerLog adds the levels of the log.
func (s *Server) registerLog() {
	const tag = "daemon"
	add(s, operation{id: "list-log-levels", method: http.MethodGet, path: "/log/levels", tag: tag, summary: "List the levels from which on records are logged, by logger"}, s.listLogLevels)
	add(s, operation{
		id: "set-log-level", touches: []api.Topic{api.TopicDaemon}, method: http.MethodPut, path: "/log/levels", tag: tag, summary: "Change the level of one logger or of all, for a while",
		doc: "The name of a logger stands for those below it too: http means http.access as well. What was changed holds until its time is over, until it is reset, or until the process ends.",
	}, s.setLogLevel)
	add(s, operation{id: "reset-log-level", touches: []api.Topic{api.TopicDaemon}, method: http.MethodDelete, path: "/log/levels", tag: tag, summary: "Make the configured level of a logger hold again"}, s.resetLogLevel)
}

func (s *Server) logs() (Logs, error) {
	if s.o.Logs == nil {
		return nil, api.NewProblem(api.CodeSkipped, "", "the process that holds the ledger is no service: its log has no levels")
	}
	return s.o.Logs, nil
}

func (s *Server) listLogLevels(context.Context, *struct{}) (*reply[api.LogLevels], error) {
	logs, err := s.logs()
	if err != nil {
		return nil, err
	}
	return ok(api.LogLevels{Levels: append([]api.LogLevel{}, logs.Levels()...)})
}

type setLogLevel struct {
	Via

	Body api.LogLevelRequest
}

func (s *Server) setLogLevel(ctx context.Context, in *setLogLevel) (*reply[api.LogLevels], error) {
	logs, err := s.logs()
	if err != nil {
		return nil, err
	}
	lasts := time.Duration(in.Body.ForSeconds * float64(time.Second))
	if err := logs.SetLevel(ctx, askedBy(ctx), in.Body.Logger, in.Body.Level, lasts); err != nil {
		return nil, err
	}
	return ok(api.LogLevels{Levels: append([]api.LogLevel{}, logs.Levels()...)})
}

type resetLogLevel struct {
	Via

	Logger string `query:"logger" maxLength:"100" doc:"the name of the logger; without one, that of all"`
}

func (s *Server) resetLogLevel(ctx context.Context, in *resetLogLevel) (*reply[api.LogLevelReset], error) {
	logs, err := s.logs()
	if err != nil {
		return nil, err
	}
	return ok(api.LogLevelReset{Was: logs.ResetLevel(ctx, askedBy(ctx), in.Logger)})
}
