package metrics

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// Handler answers with all metrics, as text or as OpenMetrics, whichever is
// asked for.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{s.own, s.runtime}, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: mostScrapes,
	})
}

// mostScrapes is how many scrapes are answered at once.
const mostScrapes = 8

// WriteText writes the metrics of upkeep, without those of Go and the process,
// in the text format and without timestamps.
func (s *Set) WriteText(w io.Writer) error {
	families, err := s.own.Gather()
	if err != nil {
		return fmt.Errorf("gather the metrics: %w", err)
	}
	text := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := text.Encode(f); err != nil {
			return fmt.Errorf("write the metric %s: %w", f.GetName(), err)
		}
	}
	return nil
}

// textfileMode lets everybody read a textfile: who collects it is another user.
const textfileMode fs.FileMode = 0o644

// WriteFile writes what WriteText does into a file, whole or not at all. While
// it is being written it has a name that begins with a dot, in the same folder,
// which must exist.
func (s *Set) WriteFile(path string) error {
	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write the metrics to %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, text.Bytes(), textfileMode, renameio.WithTempDir(filepath.Dir(path)), renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write the metrics to %s: %w", path, err)
	}
	return nil
}
