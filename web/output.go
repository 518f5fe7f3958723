package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

type getOutput struct {
	ByID

	Job    string `path:"job" maxLength:"255"`
	Number int    `path:"number" minimum:"1" doc:"of the attempt"`
	Range  string `header:"Range" maxLength:"64" doc:"bytes=FIRST- or bytes=FIRST-LAST, places in all that was written; the answer begins with the first byte from there on that was kept, and ends where bytes were cut"`
}

type gotOutput struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	ContentRange string `header:"Content-Range"`
	AcceptRanges string `header:"Accept-Ranges"`
	Head         int64  `header:"Upkeep-Output-Head" doc:"how many of the first bytes were kept"`
	Cut          int64  `header:"Upkeep-Output-Cut" doc:"how many bytes after them were not kept"`
	Bytes        int64  `header:"Upkeep-Output-Bytes" doc:"how many bytes were written in all, so far"`
	Body         []byte
}

func (s *Server) registerOutput() {
	add(s, operation{
		id: "get-output", method: http.MethodGet, path: "/runs/{id}/attempts/{job}/{number}/output", tag: "runs",
		summary: "Get what an attempt wrote",
		doc: "All bytes that were kept: the first, then the last. Where some between them were cut, the headers say where and how many. " +
			"While the attempt runs this is what it wrote so far; with a range, what it wrote since.",
		content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}, s.getOutput)
}

func (s *Server) getOutput(ctx context.Context, in *getOutput) (*gotOutput, error) {
	run, err := s.o.Runs.Run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	output, err := s.o.Runs.Output(ctx, runner.AttemptKey{Run: run.ID, Job: in.Job, Number: in.Number})
	if err != nil {
		return nil, err
	}
	head, tail := int64(len(output.Head)), int64(len(output.Tail))
	out := &gotOutput{
		Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", AcceptRanges: "bytes",
		Head: head, Cut: output.Cut, Bytes: head + output.Cut + tail,
	}
	if in.Range == "" {
		out.Body = append(output.Head[:head:head], output.Tail...)
		return out, nil
	}
	first, last, err := parseRange(in.Range)
	if err != nil {
		return nil, err
	}
	var from int64
	from, out.Body = piece(output, first, last)
	if len(out.Body) == 0 {
		return nil, api.NewProblem(api.CodeRange, "", fmt.Sprintf("nothing was kept of %s; %d bytes were written so far", in.Range, out.Bytes))
	}
	out.Status = http.StatusPartialContent
	out.ContentRange = fmt.Sprintf("bytes %d-%d/*", from, from+int64(len(out.Body))-1)
	return out, nil
}

// piece returns the bytes of an output that were kept from the place first on,
// up to last or to where bytes are missing, and the place where they begin.
func piece(o runner.Output, first, last int64) (from int64, bytes []byte) {
	head := int64(len(o.Head))
	begin := head + o.Cut // of the tail
	end := begin + int64(len(o.Tail))
	if last >= end {
		last = end - 1
	}
	switch {
	case first > last:
		return first, nil
	case o.Cut == 0:
		whole := append(o.Head[:head:head], o.Tail...)
		return first, whole[first : last+1]
	case first < head:
		return first, o.Head[first:min(last+1, head)]
	}
	first = max(first, begin)
	if first > last {
		return first, nil
	}
	return first, o.Tail[first-begin : last+1-begin]
}

// farEnd is a place beyond every output.
const farEnd = int64(1) << 62

// parseRange reads one range of bytes with a beginning, the only kind that is
// answered (RFC 9110, section 14.1.2).
func parseRange(text string) (first, last int64, err error) {
	wrong := func() (int64, int64, error) {
		return 0, 0, api.NewProblem(api.CodeInvalid, "write bytes=FIRST- or bytes=FIRST-LAST", "the range makes no sense")
	}
	rest, isBytes := strings.CutPrefix(text, "bytes=")
	from, to, both := strings.Cut(rest, "-")
	if !isBytes || !both {
		return wrong()
	}
	if first, err = place(from); err != nil {
		return wrong()
	}
	if to == "" {
		return first, farEnd, nil
	}
	if last, err = place(to); err != nil || last < first {
		return wrong()
	}
	return first, last, nil
}

// place reads a number of digits alone, at most farEnd.
func place(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 62)
	return int64(n), err
}
