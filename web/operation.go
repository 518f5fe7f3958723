package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ghosteam/upkeep/web/api"
)

// operation says what one address does.
type operation struct {
	id, method, path string
	summary          string
	doc              string
	tag              string
	// status is the one of success, 0 for 200.
	status int
	// touches are the topics in which a success changes something.
	touches []api.Topic
	// content describes an answer that is not JSON.
	content map[string]*huma.MediaType
}

// add registers an operation below Prefix.
func add[I, O any](s *Server, op operation, handle func(context.Context, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: op.id, Method: op.method, Path: Prefix + op.path, Summary: op.summary, Description: op.doc,
		Tags: []string{op.tag}, DefaultStatus: op.status,
		BodyReadTimeout: -1, // the guard has read the body
		Responses:       map[string]*huma.Response{"default": problemResponse(s.api)},
	}
	role := roleOf(op.id, op.method)
	s.roles[op.method+" "+o.Path], s.names[op.method+" "+o.Path] = role, op.id
	o.Extensions = map[string]any{roleExtension: string(role)}
	if op.content != nil {
		o.Responses["200"] = &huma.Response{Description: http.StatusText(http.StatusOK), Content: op.content}
	}
	huma.Register(s.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.explain(ctx, op.id, err)
		}
		s.Changed(op.touches...)
		return out, nil
	})
}

// roleExtension is the key of the OpenAPI document that says which role an
// operation needs.
const roleExtension = "x-role"

// problemResponse documents what every operation may answer.
func problemResponse(a huma.API) *huma.Response {
	return &huma.Response{
		Description: "a problem; its code says of what kind",
		Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: schemaOf[api.Problem](a)},
		},
	}
}

// explain turns an error into an answer. What is not for everybody's eyes goes
// to the log.
func (s *Server) explain(ctx context.Context, operation string, err error) *api.Problem {
	p := api.ProblemOf(err)
	if p.Code == api.CodeInternal {
		s.log.LogAttrs(ctx, slog.LevelError, "a request failed", slog.String("operation", operation),
			slog.String("request_id", requestID(ctx)), slog.Any("error", err))
	}
	return p
}

// document is the OpenAPI document in both forms.
type document struct{ json, yaml []byte }

// OpenAPI returns the OpenAPI 3.1 document of the API as YAML.
func (s *Server) OpenAPI() ([]byte, error) {
	d, err := s.spec()
	return d.yaml, err
}

// describe writes the document.
func describe(a huma.API) (document, error) {
	var d document
	var err error
	if d.json, err = json.Marshal(a.OpenAPI()); err != nil {
		return d, fmt.Errorf("describe the API: %w", err)
	}
	if d.yaml, err = a.OpenAPI().YAML(); err != nil {
		return d, fmt.Errorf("describe the API: %w", err)
	}
	d.yaml = bytes.TrimLeft(d.yaml, "\n")
	return d, nil
}

// amend makes the document say what huma has no words for. It must have been
// called before the first request, because huma reads the schemas too.
func amend(a huma.API) {
	spec := a.OpenAPI()
	schemas := spec.Components.Schemas.Map()
	// huma registers its own error type, which no operation answers.
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	asked := requests(spec)
	for name, schema := range schemas {
		if schema.AdditionalProperties == false && !asked[name] {
			schema.AdditionalProperties = nil // new keys may join an answer
		}
		for key, property := range schema.Properties {
			if nullable(name, key) {
				schema.Properties[key] = &huma.Schema{
					Description: property.Description, AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
				}
			}
		}
	}
}

// nullable tells which properties hold an object or null; huma has no tag for
// them.
func nullable(schema, property string) bool {
	switch schema + "." + property {
	case "Workflow.last", "Workflow.paused", "WorkflowDetail.last", "WorkflowDetail.paused", "RunDetail.good", "RunDetail.usual", "Waiting.holder":
		return true
	}
	return false
}

// requests are the names of the schemas of what is asked.
func requests(spec *huma.OpenAPI) map[string]bool {
	out := map[string]bool{}
	for _, path := range spec.Paths {
		for _, op := range []*huma.Operation{path.Post, path.Put, path.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, media := range op.RequestBody.Content {
				out[strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")] = true
			}
		}
	}
	return out
}
