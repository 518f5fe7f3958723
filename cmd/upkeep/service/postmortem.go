package service

import (
	"context"
	"io"
	"time"

	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/web"
)

// postMortems writes down what the ledger has of incidents.
type postMortems struct{ e *Engine }

var _ web.PostMortems = postMortems{}

// PostMortem implements web.PostMortems.
func (p postMortems) PostMortem(ctx context.Context, idOrPrefix string, html bool, w io.Writer) error {
	d, err := reports.PostMortem(ctx, SourceOf(p.e.ledger.Reader), p.e.ledger, idOrPrefix, time.Now())
	if err != nil {
		return err
	}
	if html {
		return d.HTML(w)
	}
	return d.Markdown(w)
}
